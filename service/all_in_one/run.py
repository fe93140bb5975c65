"""`fcnserve serve`: worker and gateway as children of this process, on a machine of one's own."""

import json
import os
import shlex
import signal
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path

from rich.console import Console

from service import logs
from service.all_in_one.subservices import Subservice, SubserviceEndedError
from service.settings import ROOT, Settings
from service.subprocesses import Subprocess
from service.worker.run import START_TIMEOUT_S, STOP_SIGNALS, stop_on_signals
from service.worker.torchserve import STOP_GRACE_S as TORCHSERVE_GRACE_S
from service.worker.torchserve import free_ports, local_name

# beyond what the worker allows a model to load in: it packs first
START_MARGIN_S = 60.0
# beyond what the gateway takes to drain, after which it must hang
GATEWAY_MARGIN_S = 6.0
POLL_S = 0.2

console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
# the answer to /readyz has to be our gateway's, never a proxy's
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class CannotListenError(RuntimeError):
    """The gateway's address is not to be had."""


def serve(port: int | None) -> int:
    """Run until SIGINT or SIGTERM (0), or until one half ends that starting anew would not help
    (1).
    """
    stopping = stop_on_signals()
    settings = Settings() if port is None else Settings(port=port)
    logs.configure(settings)
    try:
        host, port = settings.host, free_to_listen(settings.host, settings.port)
    except CannotListenError as error:
        console.print(str(error), style="red")
        return 1
    environment = child_environment(settings, port)
    drain_s = settings.drain_delay_s + settings.shutdown_grace_s
    graces_s = {"worker": TORCHSERVE_GRACE_S + 4, "gateway": drain_s + GATEWAY_MARGIN_S}
    with ExitStack() as stack:  # ends the gateway first: it drains while TorchServe still answers
        console.print(
            f"starting TorchServe and loading {', '.join(settings.models)}: some seconds, longer "
            "for a large model ..."
        )
        halves = {
            name: Subservice(name, environment, grace_s) for name, grace_s in graces_s.items()
        }
        for half in halves.values():
            stack.callback(half.stop)
            half.start()
        try:
            run(halves, url_of(host, port), stopping)
        except SubserviceEndedError as error:
            console.print(str(error), style="red")
            return 1
        console.print("stopping ...")
        if gateway := halves["gateway"].child:
            hurry_on_signals(gateway)
    console.print("stopped")
    return 0


def hurry_on_signals(gateway: Subprocess) -> None:
    """Pass a second Ctrl-C on to the gateway, which then waits for nobody."""
    for signum in STOP_SIGNALS:
        signal.signal(signum, lambda _signum, _frame: gateway.tell())


def free_to_listen(host: str, port: int) -> int:
    """Return the port, or a free one for 0; raises CannotListenError.

    Asked before anything is started: whoever has the port may be another copy, whose /readyz would
    be taken for ours.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            found: int = probe.getsockname()[1]
            return found
    except OSError as error:
        raise CannotListenError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; stop what uses it, "
            "or choose another (--port, or make serve PORT=8001; FCNSERVE_HOST for the address)"
        ) from error


def child_environment(settings: Settings, port: int) -> dict[str, str]:
    """Give TorchServe ports of this copy's own, so that several copies run side by side."""
    (worker_port,) = free_ports(1)
    return os.environ | {
        "FCNSERVE_PORT": str(port),
        "FCNSERVE_MODEL_STORE": str(settings.model_store.absolute()),  # children run elsewhere
        "FCNSERVE_WORKER_HOST": "127.0.0.1",
        "FCNSERVE_WORKER_PORT": str(worker_port),
        "FCNSERVE_WORKER_METRICS_PORT": "0",
        "FCNSERVE_WORKER_STATUS_PORT": "0",
        "FCNSERVE_TORCHSERVE_URL": f"http://127.0.0.1:{worker_port}",
    }


def url_of(host: str, port: int) -> str:
    """Write the URL that reaches the gateway from this machine."""
    name = local_name(host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def run(halves: Mapping[str, Subservice], url: str, stopping: threading.Event) -> None:
    """Announce readiness, and keep both halves running; returns when asked to stop, raises
    HalfEndedError.
    """
    started = time.monotonic()
    announced = False
    while not stopping.wait(POLL_S):
        for half in halves.values():
            half.keep(may_restart=announced)
        if not announced and is_ready(url):
            announce(url, time.monotonic() - started, silent_models(url))
            announced = True
        if not announced and time.monotonic() - started > START_TIMEOUT_S + START_MARGIN_S:
            raise SubserviceEndedError(
                f"not ready after {time.monotonic() - started:.0f} s; see above"
            )


def is_ready(url: str) -> bool:
    try:
        with opener.open(f"{url}/readyz", timeout=1) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except (OSError, HTTPException):
        return False


def silent_models(url: str) -> list[str]:
    """Ask which models do not answer; none where nobody tells."""
    try:
        with opener.open(f"{url}/readyz", timeout=1) as answer:
            silent: list[str] = json.load(answer)["silent"]
            return silent
    except (OSError, HTTPException, ValueError):
        return []


def announce(url: str, seconds: float, silent: Sequence[str]) -> None:
    console.print(
        f"ready after {seconds:.1f} s: {url} (API documentation: {url}/docs)", style="green"
    )
    if silent:
        console.print(f"without {', '.join(silent)}: see above", style="red")
    console.print(f"try, in another terminal:\n\n{suggestion(url)}\n\nCtrl-C stops it.")


def suggestion(url: str) -> str:
    """Write what may be pasted into a shell in this folder; with keys, it takes the shell's own."""
    program = from_here(Path(sys.executable).with_name("fcnserve"))
    photo = from_here(ROOT / "service" / "samples" / "cat.jpg")
    line = f"{program} segment {photo} --output overlay -o overlay.png --url {url}"
    if not (keys_file := Settings().api_keys_file):
        return f"  {line}"
    return (
        f'  FCNSERVE_KEY="${{FCNSERVE_KEY:?set it to an API key}}" {line}\n\n'
        f"with a key that {keys_file} has a line for; {program} key NAME makes both."
    )


def from_here(path: Path) -> str:
    """Write a path as it is typed in the current folder."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
