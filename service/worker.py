"""`fcnserve worker`: packs the models, then runs TorchServe until it ends or is told to."""

import signal
import threading
from types import FrameType

import structlog

from service import logs
from service.settings import Settings
from service.torchserve import JavaMissingError, TorchServeMissingError, torchserve

POLL_S = 0.2

logger = structlog.get_logger("fcnserve.worker")


def run() -> int:
    """Return the exit code: 0 after SIGINT or SIGTERM, 1 when TorchServe cannot run or died."""
    settings = Settings()
    logs.configure(settings)
    stopping = stop_on_signals()
    try:
        pack_models(settings)
        with torchserve(settings) as child:
            while not stopping.wait(POLL_S):
                if (code := child.exit_code()) is not None:
                    logger.error("TorchServe died", exit_code=code)
                    return 1
    except (JavaMissingError, TorchServeMissingError, OSError, ValueError) as error:
        logger.error("the worker cannot start", reason=str(error))
        return 1
    return 0


def pack_models(settings: Settings) -> None:
    """Pack each model that has a folder in the store; one without must be there as an archive."""
    from model_store.package import package

    for name in settings.models:
        folder = settings.model_store / name
        if folder.is_dir():
            package(folder, settings.model_store)
        elif not (archive := settings.model_store / f"{name}.mar").exists():
            raise FileNotFoundError(
                f"no model {name!a}: neither {folder} nor {archive} exists; see FCNSERVE_MODELS"
            )


def stop_on_signals() -> threading.Event:
    """Return an event that is set by Ctrl-C, by SIGTERM, and by the terminal going away."""
    stopping = threading.Event()

    def stop(_signum: int, _frame: FrameType | None) -> None:
        stopping.set()

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, stop)
    return stopping
