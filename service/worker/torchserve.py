"""TorchServe as a child process: settings in, a Java process (and its Python workers) out.

The Java program is started directly: TorchServe's own launcher keeps its pid in a fixed file and
outlives a dead server. Two copies on one machine need ports, a temporary folder and worker sockets
of their own, so each gets a fresh folder with a short name (a socket's path ends at 107 bytes) and
free ports for what nobody else needs to find.
"""

import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

from model_store.tools.archive.read import packed_config
from service.settings import ROOT, Settings
from service.subprocesses import Subprocess, running
from service.temporary_folders import temporary_folder
from service.worker.gpus import gpu_count
from service.worker.java import OLDEST_JAVA, find_java
from service.worker.worker_count import worker_count

# TorchServe closes its channels and leaves its workers two seconds
STOP_GRACE_S = 8.0
# forward passes take all processors; what hands photos over and turns others away, the gateway,
# needs little, but at once
NICE = 5
ASCII_CODES = 128
# oneDNN keeps kernels prepared per shape: of its default 1,024, photos of twenty sizes use up all,
# and every pass then prepares its kernels anew (1.6 times the time on mixed sizes)
ONEDNN_PRIMITIVES = 40_000
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what to call to reach them
# of the checkout: no package of an index is called fcnserve, and anybody could take that name
INSTALLER = (
    f"run `{shlex.quote(sys.executable)} {shlex.quote(str(ROOT / 'deploy/install.py'))} worker`"
)
LOG_CONFIGURATIONS = {"human": "log4j2.xml", "json": "log4j2-json.xml"}


class JavaMissingError(RuntimeError):
    """No Java that TorchServe runs on was found."""


class TorchServeMissingError(RuntimeError):
    """TorchServe is not installed beside this program."""


@dataclass(frozen=True, slots=True)
class TorchServe:
    """TorchServe while it runs."""

    child: Subprocess
    models: Sequence[str]
    load_reports: Path
    flight_records: Path  # of its workers, in a folder a model
    address: tuple[str, int]  # of its inference API, as this machine reaches it
    workers: int  # per model

    def exit_code(self) -> int | None:
        """Tell how it ended; None while it runs."""
        return self.child.exit_code()

    def load_failures(self) -> dict[str, str]:
        """Tell why models could not be loaded that never could be; TorchServe itself would try
        again for ever. See handlers/entry.py.
        """
        reports = {path.name: path.read_text() for path in sorted(self.load_reports.iterdir())}
        return {model: reason for model, reason in reports.items() if reason}


@contextmanager
def torchserve(settings: Settings, models: Sequence[str]) -> Iterator[TorchServe]:
    """Run TorchServe with these packed models; on leaving, it and its workers are gone."""
    # a short path, whatever TMPDIR says: it holds sockets
    with temporary_folder("fcns-", Path("/tmp")) as folder:  # noqa: S108 - locked, of this user
        configuration = folder.path / "config.properties"
        gpus = gpu_count()
        workers = worker_count(settings, gpus)
        batches = batch_sizes(settings.model_store, models, gpus)
        configuration.write_text(properties_text(configuration_of(settings, batches, workers)))
        load_reports, flight_records = folder.path / "loads", folder.path / "flights"
        load_reports.mkdir()
        flight_records.mkdir()
        with running(
            command(settings, configuration),
            environment(settings, workers, load_reports, flight_records),
            folder.path,
            STOP_GRACE_S,
            stdout=subprocess.DEVNULL,  # its log goes to stderr; here come greetings and moans
            nice=NICE,
            keep_open=[folder.lock_fd],  # in use as long as TorchServe runs
        ) as child:
            address = (local_name(settings.worker_host), settings.worker_port)
            yield TorchServe(child, models, load_reports, flight_records, address, workers)


def configuration_of(
    settings: Settings, models: Mapping[str, object], workers: int
) -> dict[str, object]:
    """TorchServe's `config.properties`: one inference port, everything else shut or on loopback.

    `models` have what TorchServe is told of each.
    """
    host = settings.worker_host
    largest_answer = 2 * settings.max_pixels + 1_000_000  # grey+alpha, incompressible
    management, metrics, grpc_inference, grpc_management = free_ports(4)
    return {
        "inference_address": f"http://{host}:{settings.worker_port}",
        "management_address": f"http://127.0.0.1:{management}",
        "metrics_address": f"http://{host}:{settings.worker_metrics_port or metrics}",
        "grpc_inference_port": grpc_inference,
        "grpc_management_port": grpc_management,
        "model_store": settings.model_store.absolute(),
        "load_models": ",".join(f"{name}.mar" for name in models),
        "models": json.dumps(models),
        "default_workers_per_model": workers,
        "job_queue_size": settings.job_queue_size,
        "max_request_size": settings.max_body_bytes,
        "max_response_size": min(largest_answer, 2**31 - 1),
        "allowed_urls": "file://none",
        "enable_envvars_config": "false",
        "disable_token_authorization": "true",
        "disable_system_metrics": "true",
        "metrics_mode": "prometheus",
    }


def batch_sizes(store: Path, models: Sequence[str], gpus: int) -> dict[str, object]:
    """Say how many photos a worker of each model takes at a time on a machine of so many GPUs, in
    TorchServe's words: by name and version.
    """
    kind = "cuda" if gpus else "cpu"
    sizes: dict[str, object] = {}
    for name in models:
        with ZipFile(store / f"{name}.mar") as packed:
            config = packed_config(packed)
        sizes[name] = {config.version: {"batchSize": config.batching.batch_size.on(kind)}}
    return sizes


def properties_text(properties: Mapping[str, object]) -> str:
    """Write Java's format, whose values are Latin-1 with backslash escapes."""
    return "".join(f"{name}={escaped(str(value))}\n" for name, value in properties.items())


def escaped(value: str) -> str:
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
    return "".join(chr(code) if code < ASCII_CODES else f"\\u{code:04x}" for code in codes)


def command(settings: Settings, configuration: Path) -> list[str]:
    """Build the command line; raises JavaMissingError or TorchServeMissingError."""
    java = find_java()
    if java is None:
        raise JavaMissingError(
            f"TorchServe needs Java {OLDEST_JAVA} or newer, and none was found; "
            f"install one, or {INSTALLER}"
        )
    found = find_spec("ts")
    if found is None or found.origin is None:
        raise TorchServeMissingError(f"TorchServe is not installed; {INSTALLER}")
    package = Path(found.origin).parent
    log_configuration = ROOT / "deploy" / "torchserve" / LOG_CONFIGURATIONS[settings.log_format]
    return [
        str(java),
        *shlex.split(settings.java_options),
        f"-Dmodel_server_home={package.parent}",
        f"-Dlog4j.configurationFile={log_configuration.as_uri()}",
        f"-Djava.io.tmpdir={configuration.parent}",
        "-cp",
        str(package / "frontend" / "model-server.jar"),
        "org.pytorch.serve.ModelServer",
        *("--python", sys.executable, "--ts-config", str(configuration)),
        *("--model-store", str(settings.model_store.absolute()), "--no-config-snapshot"),
    ]


def environment(
    settings: Settings, workers: int, load_reports: Path, flight_records: Path
) -> dict[str, str]:
    """The workers' environment: this one, less what would change which code they run."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONPATH", "TS_CONFIG_FILE"}
    }
    # with several models there are more threads than processors, and OpenMP's teams spin at each
    # barrier: two models asked at a time made 10 masks/s on two cores, and make 47 when they sleep
    several = {"OMP_WAIT_POLICY": "passive"} if len(settings.models) > 1 else {}
    return (
        several
        | kept
        | {
            "LC_ALL": "C.UTF-8",  # in another locale Java finds no file with an accent in its path
            "FCNSERVE_LOAD_REPORTS": str(load_reports),
            "FCNSERVE_FLIGHT_RECORDS": str(flight_records),
            "FCNSERVE_LOG_FORMAT": settings.log_format,
            "FCNSERVE_LOG_LEVEL": settings.log_level,
            "FCNSERVE_WORKERS": str(workers),
            "ONEDNN_PRIMITIVE_CACHE_CAPACITY": str(ONEDNN_PRIMITIVES),
            "FCNSERVE_THREADS": str(settings.threads),
        }
    )


def local_name(host: str) -> str:
    """Name the address at which what listens on `host` is reached from this machine."""
    return ANY_ADDRESS.get(host, host)


def free_ports(count: int) -> list[int]:
    """Find ports that nobody listens on, no two of them the same."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
