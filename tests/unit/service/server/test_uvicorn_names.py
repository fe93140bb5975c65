"""Each name of uvicorn's that `service.server` overrides or uses, and that uvicorn does not promise
to keep: where a release lacks one, a test fails with its name and the module that uses it.

Nothing of uvicorn or of the server is imported at the top, so that a missing name fails one test.
"""

import inspect
import re
import tomllib
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

PYPROJECT = Path(__file__).parents[4] / "pyproject.toml"
FLOW = "uvicorn.protocols.http.flow_control"
PROCESS = "uvicorn.supervisors.multiprocess.Process"

# owner, its names, and the module of ours that uses them
DEFINED = [
    ("uvicorn.Server", "main_loop run", "run"),
    ("uvicorn.Server", "serve startup capture_signals handle_exit on_tick shutdown", "server"),
    ("uvicorn.Config", "load bind_socket", "supervisor"),
    ("uvicorn.config", "STARTUP_FAILURE", "supervisor"),
    ("uvicorn.server", "ServerState", "http1/asgi_scope"),
    ("uvicorn.protocols.utils", "get_local_addr get_remote_addr is_ssl", "http1/asgi_scope"),
    (FLOW, "FlowControl HIGH_WATER_LIMIT", "http1/connection"),
    (f"{FLOW}.FlowControl", "pause_reading resume_reading", "http1/connection"),
    (f"{FLOW}.FlowControl", "pause_writing resume_writing", "http1/connection"),
    (f"{FLOW}.FlowControl", "drain", "http1/request_cycle"),
    (PROCESS, "server target", "gateway_process"),
    (PROCESS, "start kill terminate join pid exitcode", "supervisor"),
]
# attributes that uvicorn sets in a method
ASSIGNED = [
    ("uvicorn.Server", "config server_state servers lifespan", "server"),
    ("uvicorn.Server", "started should_exit force_exit", "server"),
    ("uvicorn.Config", "loaded_app timeout_keep_alive root_path", "http1/connection"),
    ("uvicorn.Config", "http_protocol_class lifespan_class backlog", "server"),
    ("uvicorn.lifespan.on.LifespanOn", "state", "server"),
    ("uvicorn.server.ServerState", "connections tasks", "http1/connection"),
    ("uvicorn.server.ServerState", "total_requests", "http1/connection"),
    ("uvicorn.server.ServerState", "default_headers", "http1/asgi_scope"),
    (f"{FLOW}.FlowControl", "write_paused", "http1/connection"),
    (PROCESS, "_server process", "gateway_process"),
]
# our method, and uvicorn's that it overrides
OVERRIDES = [
    *(
        (f"server.Server.{name}", f"uvicorn.Server.{name}")
        for name in ("serve", "startup", "capture_signals", "handle_exit", "on_tick", "shutdown")
    ),
    ("gateway_process.GatewayProcess.target", f"{PROCESS}.target"),
]


def each_name(table: list[tuple[str, str, str]]) -> list[Any]:
    return [
        pytest.param(owner, name, user, id=f"{owner}.{name}")
        for owner, names, user in table
        for name in names.split()
    ]


def found(dotted: str) -> Any:
    """Import what a dotted name stands for; None where there is no such thing."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value: Any = import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            value = getattr(value, part, None)
        return value
    return None


def imported(ours: str) -> Any:
    """Import a name of ours, which needs those of uvicorn."""
    value = found(f"service.server.{ours}")
    assert value is not None, f"service.server.{ours} cannot be imported; see the names that fail"
    return value


def missing(name: str, user: str) -> str:
    return (
        f"uvicorn {version('uvicorn')} has no {name}, which service/server/{user}.py uses; adapt "
        "that module, or lower the upper bound of uvicorn in pyproject.toml"
    )


@pytest.mark.parametrize(("owner", "name", "user"), each_name(DEFINED))
def test_uvicorn_defines_what_the_server_uses(owner: str, name: str, user: str) -> None:
    assert hasattr(found(owner), name), missing(f"{owner}.{name}", user)


@pytest.mark.parametrize(("owner", "name", "user"), each_name(ASSIGNED))
def test_uvicorn_assigns_what_the_server_reads(owner: str, name: str, user: str) -> None:
    kind = found(owner)
    assert kind is not None, missing(owner, user)
    is_assigned = re.search(rf"\bself\.{name}\b(: [^=\n]+)? = ", inspect.getsource(kind))
    assert is_assigned or hasattr(kind, name), missing(f"{owner}.{name}", user)


@pytest.mark.parametrize(("ours", "theirs"), OVERRIDES)
def test_an_override_takes_the_arguments_of_uvicorns_method(ours: str, theirs: str) -> None:
    method = found(theirs)
    assert method is not None, missing(theirs, ours.partition(".")[0])
    expected = list(inspect.signature(method).parameters)
    taken = list(inspect.signature(imported(ours)).parameters)
    assert taken == expected, f"uvicorn {version('uvicorn')} changed the arguments of {theirs}"


def test_our_connection_takes_the_arguments_of_uvicorns_protocol() -> None:
    theirs = "uvicorn.protocols.http.httptools_impl.HttpToolsProtocol"
    expected = set(inspect.signature(found(theirs)).parameters)
    taken = set(inspect.signature(imported("http1.connection.Connection")).parameters)
    assert taken - {"limits", "open_connections"} == expected, (
        f"uvicorn {version('uvicorn')} changed the arguments of {theirs}"
    )


def test_uvicorn_has_an_upper_bound() -> None:
    dependencies = tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]
    (uvicorn,) = [line for line in dependencies if re.match(r"uvicorn\b", line)]
    assert "<" in uvicorn, "the server uses names that a newer uvicorn may not have; set a bound"
