"""`fcnserve worker`: packs the models, then runs TorchServe and watches over it.

It ends when it is told to, when TorchServe dies, and when TorchServe has not answered for too long:
Docker and Kubernetes restart what has ended, and leave alone what merely fails its health check.
"""

import signal
import threading
from types import FrameType

import structlog
from prometheus_client import PROCESS_COLLECTOR, CollectorRegistry

from service import logs
from service.settings import Settings
from service.worker.archives import in_a_line, pack_models
from service.worker.exporter import application, exporting
from service.worker.gpu_metrics import gpu_collector
from service.worker.liveness import INTERVAL_S, LivenessProbe, asking
from service.worker.process_metrics import WorkerCollector, WorkerProcesses
from service.worker.torchserve import (
    JavaMissingError,
    TorchServe,
    TorchServeMissingError,
    torchserve,
)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLL_S = 0.2
# a large network's first warm-up may take minutes
START_TIMEOUT_S = 300.0
MISSED_CANARIES = 3

logger = structlog.get_logger("fcnserve.worker")


class ModelFailedError(RuntimeError):
    """TorchServe cannot serve this model, and others it can."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(f"{model}: {reason}")
        self.model = model
        self.reason = reason


class ModelSilentError(RuntimeError):
    """A model has stopped answering, and others have not."""


def run() -> int:
    """Return the exit code: 0 after SIGINT, SIGTERM or SIGHUP; 1 when TorchServe died, or cannot
    run, or cannot load a model and has no other.
    """
    settings = Settings()
    logs.configure(settings)
    stopping = stop_on_signals()
    try:
        return serve(settings, list(pack_models(settings)), stopping)
    except (JavaMissingError, TorchServeMissingError, OSError, ValueError) as error:
        logger.error("the worker cannot start", reason=in_a_line(error))
        return 1


def serve(settings: Settings, models: list[str], stopping: threading.Event) -> int:
    """Run TorchServe with those models that it can load: it starts anew without one that it cannot,
    and with all of them when one falls silent. What the gateway has meanwhile waits there.
    """
    while True:
        try:
            with torchserve(settings, models) as server:
                return attend(server, settings, stopping)
        except ModelFailedError as failed:
            logger.error("the model is left out", model=failed.model, reason=failed.reason)
            models = [model for model in models if model != failed.model]
        except ModelSilentError as silent:
            logger.error("TorchServe starts anew", reason=str(silent))


def attend(server: TorchServe, settings: Settings, stopping: threading.Event) -> int:
    """Keep asking TorchServe, tell the world how it is, and watch; raises OSError and what `watch`
    does.
    """
    left_out = [model for model in settings.models if model not in server.models]
    canary = LivenessProbe(
        *server.address,
        server.models,
        settings.worker_silence_s,
        left_out,
        server.flight_records,
    )
    registry = CollectorRegistry()
    registry.register(PROCESS_COLLECTOR)
    workers = server.workers * len(server.models)
    registry.register(WorkerCollector(WorkerProcesses(server.child.pid), workers, canary))
    if gpus := gpu_collector():
        registry.register(gpus)
    app = application(registry, lambda: canary.is_well(MISSED_CANARIES * INTERVAL_S))
    with exporting(settings.worker_host, settings.worker_status_port, app), asking(canary):
        return watch(server, canary, settings.worker_silence_s, stopping)


def watch(
    server: TorchServe, canary: LivenessProbe, silence_s: float, stopping: threading.Event
) -> int:
    """Wait until TorchServe is told to stop, dies, or turns out to be of no use.

    Raises ModelFailedError and ModelSilentError where only one of several models is of none.
    """
    while not stopping.wait(POLL_S):
        if (code := server.exit_code()) is not None:
            logger.error("TorchServe died", exit_code=code)
            return 1
        for model, reason in server.load_failures().items():
            if len(server.models) > 1:
                raise ModelFailedError(model, reason)
            logger.error("the model cannot be loaded", reason=reason)
            return 1
        silent_s = too_silent(canary, silence_s)
        if len(silent_s) == len(server.models):
            logger.error("TorchServe does not answer", silent_s=round(min(silent_s.values())))
            return 1
        for model, seconds in silent_s.items():
            reason = f"{model} has not answered for {seconds:.0f} s"
            if canary.has_answered(model):
                raise ModelSilentError(reason)
            raise ModelFailedError(model, reason)
    return 0


def too_silent(canary: LivenessProbe, silence_s: float) -> dict[str, float]:
    """Find the models that have been silent for longer than they may, and for how long."""
    silent_s = canary.silent_s()
    longest_s = {
        model: silence_s if canary.has_answered(model) else max(silence_s, START_TIMEOUT_S)
        for model in canary.models
    }
    return {model: silent_s[model] for model, most in longest_s.items() if silent_s[model] > most}


def stop_on_signals() -> threading.Event:
    """Return an event that is set by Ctrl-C, by SIGTERM, and by the terminal going away."""
    stopping = threading.Event()

    def stop(_signum: int, _frame: FrameType | None) -> None:
        stopping.set()

    for signum in STOP_SIGNALS:
        signal.signal(signum, stop)
    return stopping
