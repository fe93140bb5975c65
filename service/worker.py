"""`fcnserve worker`: packs the models, then runs TorchServe until it ends or is told to."""

import signal
import threading
from types import FrameType
from zipfile import is_zipfile

import structlog

from service import logs
from service.settings import Settings
from service.torchserve import (
    JavaMissingError,
    TorchServe,
    TorchServeMissingError,
    torchserve,
)

POLL_S = 0.2

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
            return watch(server, stopping)
    except (JavaMissingError, TorchServeMissingError, OSError, ValueError) as error:
        logger.error("the worker cannot start", reason=str(error))
        return 1


def watch(server: TorchServe, stopping: threading.Event) -> int:
    """Wait until TorchServe is told to stop, dies, or turns out to be of no use."""
    while not stopping.wait(POLL_S):
        if (code := server.exit_code()) is not None:
            logger.error("TorchServe died", exit_code=code)
            return 1
        if (reason := server.load_failure()) is not None:
            logger.error("the model cannot be loaded", reason=reason)
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

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, stop)
    return stopping
