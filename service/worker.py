"""`fcnserve worker`: packs the models, then runs TorchServe and watches over it.

It ends when it is told to, when TorchServe dies, and when TorchServe has not answered for too long:
Docker and Kubernetes restart what has ended, and leave alone what merely fails its health check.
"""

import signal
import threading
from types import FrameType
from zipfile import is_zipfile

import structlog
from prometheus_client import PROCESS_COLLECTOR, CollectorRegistry

from service import logs
from service.canary import INTERVAL_S, Canary, asking
from service.exporter import application, exporting
from service.gpu_metrics import gpu_collector
from service.settings import Settings
from service.torchserve import (
    JavaMissingError,
    TorchServe,
    TorchServeMissingError,
    torchserve,
)
from service.worker_metrics import Processes, WorkerCollector

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLL_S = 0.2
# a large network's first warm-up may take minutes
START_TIMEOUT_S = 300.0
MISSED_CANARIES = 3

logger = structlog.get_logger("fcnserve.worker")


def run() -> int:
    """Return the exit code: 0 after SIGINT, SIGTERM or SIGHUP; 1 when TorchServe died, or cannot
    run, or cannot load a model.
    """
    settings = Settings()
    logs.configure(settings)
    stopping = stop_on_signals()
    try:
        pack_models(settings)
        with torchserve(settings) as server:
            return attend(server, settings, stopping)
    except (JavaMissingError, TorchServeMissingError, OSError, ValueError) as error:
        logger.error("the worker cannot start", reason=str(error))
        return 1


def attend(server: TorchServe, settings: Settings, stopping: threading.Event) -> int:
    """Keep asking TorchServe, tell the world how it is, and watch; raises OSError."""
    canary = Canary(*server.address, settings.models, settings.worker_silence_s)
    registry = CollectorRegistry()
    registry.register(PROCESS_COLLECTOR)
    workers = server.workers * len(settings.models)
    registry.register(WorkerCollector(Processes(server.child.pid), workers, canary))
    if gpus := gpu_collector():
        registry.register(gpus)
    app = application(registry, lambda: is_healthy(canary))
    with exporting(settings.worker_host, settings.worker_status_port, app), asking(canary):
        return watch(server, canary, settings.worker_silence_s, stopping)


def is_healthy(canary: Canary) -> bool:
    return canary.has_answered() and canary.silent_s() < MISSED_CANARIES * INTERVAL_S


def watch(server: TorchServe, canary: Canary, silence_s: float, stopping: threading.Event) -> int:
    """Wait until TorchServe is told to stop, dies, or turns out to be of no use."""
    while not stopping.wait(POLL_S):
        if (code := server.exit_code()) is not None:
            logger.error("TorchServe died", exit_code=code)
            return 1
        if (reason := server.load_failure()) is not None:
            logger.error("the model cannot be loaded", reason=reason)
            return 1
        longest_s = silence_s if canary.has_answered() else max(silence_s, START_TIMEOUT_S)
        if canary.silent_s() > longest_s:
            logger.error("TorchServe does not answer", silent_s=round(canary.silent_s()))
            return 1
    return 0


def pack_models(settings: Settings) -> None:
    """Pack each model that has a folder in the store; one without must be there as an archive.

    Raises OSError and ValueError.
    """
    from model_store.package import package

    for name in settings.models:
        folder = settings.model_store / name
        archive = settings.model_store / f"{name}.mar"
        if folder.is_dir():
            if (packed := package(folder, settings.model_store)) != archive:
                raise ValueError(
                    f"{folder}/model.yaml names its model {packed.stem!a}; "
                    f"a folder in the model store has its model's name: rename one of them"
                )
        elif not archive.exists():
            raise FileNotFoundError(
                f"no model {name!a}: neither {folder} nor {archive} exists; see FCNSERVE_MODELS"
            )
        elif not is_zipfile(archive):
            raise ValueError(f"{archive} is no archive; make it with `fcnserve model package`")


def stop_on_signals() -> threading.Event:
    """Return an event that is set by Ctrl-C, by SIGTERM, and by the terminal going away."""
    stopping = threading.Event()

    def stop(_signum: int, _frame: FrameType | None) -> None:
        stopping.set()

    for signum in STOP_SIGNALS:
        signal.signal(signum, stop)
    return stopping
