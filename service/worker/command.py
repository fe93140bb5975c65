"""The command line of TorchServe's Java program, and the environment of its Python workers.

In: settings and the path of `config.properties`. Out: a list of arguments, a mapping. Called by
`service.worker.torchserve`.
"""

import os
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

from service.settings import ROOT, Settings
from service.worker.java import OLDEST_JAVA, find_java

# oneDNN keeps prepared kernels per shape: of its default 1,024, photos of twenty sizes use up all,
# and every pass then prepares its kernels again (1.6 times the time on mixed sizes)
ONEDNN_PRIMITIVES = 40_000
# TorchServe sends each batch by CompletableFuture.runAsync, and waits there until the worker has
# read it. On one or two processors Java starts a thread for each such call, unless its common pool
# has several; on others a worker that hangs would keep one of few. So there are as many as a
# model's workers at most, each of which is started when it is needed
SENDING_THREADS = 64
# of the extra `worker`
WORKER_MODULES = {"psutil", "pynvml", "safetensors", "torch", "ts", "yaml"}
LOG_CONFIGURATIONS = {"human": "log4j2.xml", "json": "log4j2-json.xml"}


class JavaMissingError(RuntimeError):
    """No Java that TorchServe runs on was found."""


class TorchServeMissingError(RuntimeError):
    """The package torchserve is not installed beside this program."""


def command(settings: Settings, configuration: Path) -> list[str]:
    """Return the command line. Raises JavaMissingError and TorchServeMissingError."""
    java = find_java()
    if java is None:
        raise JavaMissingError(
            f"TorchServe needs Java {OLDEST_JAVA} or newer, and none was found; "
            f"install one, or {how_to_install('worker java')}"
        )
    found = find_spec("ts")
    if found is None or found.origin is None:
        raise TorchServeMissingError(f"TorchServe is not installed; {how_to_install('worker')}")
    package = Path(found.origin).parent
    log_configuration = ROOT / "deploy" / "torchserve" / LOG_CONFIGURATIONS[settings.log_format]
    return [
        str(java),
        f"-Djava.util.concurrent.ForkJoinPool.common.parallelism={SENDING_THREADS}",
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


def how_to_install(extras: str) -> str:
    """Advise what adds extras: a checkout's installer, or the wheel again.

    No package of an index: anyone could register the name fcnserve.
    """
    installer = ROOT / "deploy" / "install.py"
    if installer.exists():
        program = shlex.join([sys.executable, str(installer)])
        return f"run `{program} {extras}`"
    return f"install fcnserve's wheel with its extras: 'WHEEL[{extras.replace(' ', ',')}]'"


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """Name a module of the extra `worker` that is not installed, and advise; None for another."""
    if error.name not in WORKER_MODULES:
        return None
    return f"{error.name} is not installed; {how_to_install('worker')}"


def environment(
    settings: Settings, workers: int, threads: int, load_reports: Path, flight_records: Path
) -> dict[str, str]:
    """Return the workers' environment: this process's, less what would change their code."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONPATH", "TS_CONFIG_FILE"}
    }
    # with several models there are more threads than processors, and OpenMP's teams spin at each
    # barrier: two models in turns made 10 masks/s on two cores, and make 47 when they sleep
    several = {"OMP_WAIT_POLICY": "passive"} if len(settings.models) > 1 else {}
    return (
        several
        | inherited
        | {
            "LC_ALL": "C.UTF-8",  # in another locale Java finds no file with an accent in its path
            "FCNSERVE_LOAD_REPORTS": str(load_reports),
            "FCNSERVE_FLIGHT_RECORDS": str(flight_records),
            "FCNSERVE_LOG_FORMAT": settings.log_format,
            "FCNSERVE_LOG_LEVEL": settings.log_level,
            "FCNSERVE_WORKERS": str(workers),
            "ONEDNN_PRIMITIVE_CACHE_CAPACITY": str(ONEDNN_PRIMITIVES),
            "FCNSERVE_THREADS": str(threads),
        }
    )
