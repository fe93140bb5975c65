"""`fcnserve worker`: packs the models, then runs TorchServe and supervises it.

The process ends when it gets a signal, when TorchServe dies, and when TorchServe has not answered
for too long: Docker and Kubernetes restart a container that has ended, but not one whose health
check fails. circus and supervisord were considered: they restart by exit codes and ports, and
cannot ask a model for an answer, leave out one that fails to load, or restart when one stops
answering. As PID 1 in a container, Docker's tini (`init: true`) reaps orphans. Called by
`service.cli.main`.
"""

import signal
import threading
from types import FrameType

import structlog
from prometheus_client import PROCESS_COLLECTOR, CollectorRegistry

from model_store.tools.archive.store import writable_store
from service import logs
from service.settings import Settings
from service.worker.archives import one_line, pack_models
from service.worker.command import JavaMissingError, TorchServeMissingError
from service.worker.drain import drain
from service.worker.exporter import application, exporting
from service.worker.gpu_metrics import gpu_collector
from service.worker.liveness import INTERVAL_S, LivenessProbe, probing
from service.worker.process_metrics import WorkerCollector, WorkerProcesses
from service.worker.torchserve import TorchServe, torchserve

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLL_S = 0.2
# a large network's first warm-up may take minutes
START_TIMEOUT_S = 300.0
UNHEALTHY_AFTER_S = 3 * INTERVAL_S

logger = structlog.get_logger("fcnserve.worker")


class ModelFailedError(RuntimeError):
    """TorchServe cannot serve this model, but can serve others."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(f"{model}: {reason}")
        self.model = model
        self.reason = reason


class ModelSilentError(RuntimeError):
    """A model has stopped answering, and others have not."""


def run() -> int:
    """Return the exit code: 0 after SIGINT, SIGTERM or SIGHUP; 1 when TorchServe died, cannot
    start, or can load none of the models.
    """
    settings = Settings()
    logs.configure(settings)
    stopping = stop_on_signals()
    try:
        store = writable_store(settings.model_store)
        settings = settings.model_copy(update={"model_store": store})
        return serve(settings, list(pack_models(settings)), stopping)
    except (JavaMissingError, TorchServeMissingError, OSError, ValueError) as error:
        logger.error("the worker cannot start", reason=one_line(error))
        return 1


def serve(settings: Settings, models: list[str], stopping: threading.Event) -> int:
    """Run TorchServe with the models that it can load: restart it without one that it cannot
    load, and with all of them when one stops answering. Meanwhile requests wait in the gateway.
    """
    while True:
        try:
            with torchserve(settings, models) as server:
                return supervise(server, settings, stopping)
        except ModelFailedError as failed:
            logger.error("the model is left out", model=failed.model, reason=failed.reason)
            models = [model for model in models if model != failed.model]
        except ModelSilentError as silent:
            logger.error("TorchServe starts anew", reason=str(silent))


def supervise(server: TorchServe, settings: Settings, stopping: threading.Event) -> int:
    """Probe TorchServe and serve health check and metrics until it ends; returns the exit code.

    Raises OSError and what `wait_until_ended` raises.
    """
    left_out = [model for model in settings.models if model not in server.models]
    probe = LivenessProbe(
        server.address,
        server.models,
        settings.worker_silence_s,
        left_out,
        server.flight_records,
    )
    app = application(metrics_registry(server, probe), lambda: probe.is_healthy(UNHEALTHY_AFTER_S))
    with exporting(settings.worker_host, settings.worker_status_port, app), probing(probe):
        code = wait_until_ended(server, probe, settings.worker_silence_s, stopping)
        if code == 0:
            drain(server, settings.worker_drain_s)
        return code


def metrics_registry(server: TorchServe, probe: LivenessProbe) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(PROCESS_COLLECTOR)
    expected = server.workers * len(server.models)
    registry.register(WorkerCollector(WorkerProcesses(server.process.pid), expected, probe))
    if gpus := gpu_collector():
        registry.register(gpus)
    return registry


def wait_until_ended(
    server: TorchServe, probe: LivenessProbe, silence_s: float, stopping: threading.Event
) -> int:
    """Wait until TorchServe is to stop, dies, or does not answer; returns the exit code.

    Raises ModelFailedError and ModelSilentError where others of the models still answer.
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
        silent_s = silent_models_s(probe, silence_s)
        if len(silent_s) == len(server.models):
            logger.error("TorchServe does not answer", silent_s=round(min(silent_s.values())))
            return 1
        raise_if_silent(silent_s, probe)
    return 0


def raise_if_silent(silent_s: dict[str, float], probe: LivenessProbe) -> None:
    """Raise ModelSilentError for a model that has answered before, else ModelFailedError."""
    for model, seconds in silent_s.items():
        reason = f"{model} has not answered for {seconds:.0f} s"
        if probe.has_answered(model):
            raise ModelSilentError(reason)
        raise ModelFailedError(model, reason)


def silent_models_s(probe: LivenessProbe, silence_s: float) -> dict[str, float]:
    """Return the models that have not answered for longer than allowed, with the seconds."""
    silent_s = probe.silent_s()
    allowed_s = {
        model: silence_s if probe.has_answered(model) else max(silence_s, START_TIMEOUT_S)
        for model in probe.models
    }
    return {model: silent_s[model] for model, most in allowed_s.items() if silent_s[model] > most}


def stop_on_signals() -> threading.Event:
    """Return an event that Ctrl-C, SIGTERM and the end of the terminal set."""
    stopping = threading.Event()

    def stop(_signum: int, _frame: FrameType | None) -> None:
        stopping.set()

    for signum in STOP_SIGNALS:
        signal.signal(signum, stop)
    return stopping
