"""`fcnserve serve`: starts worker and gateway, announces readiness, and stops both on a signal.

In: the settings. Out: the exit code. Called by `service/cli/main.py`.
"""

import signal
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack

from service import logs
from service.all_in_one.address import CannotListenError, available_port, url_of
from service.all_in_one.announcement import announce, console
from service.all_in_one.readiness import is_ready, silent_models
from service.all_in_one.subservices import (
    Subservice,
    SubserviceEndedError,
    subservice_environment,
)
from service.settings import Settings
from service.subprocesses import Subprocess
from service.worker.run import START_TIMEOUT_S, STOP_SIGNALS, stop_on_signals
from service.worker.torchserve import STOP_GRACE_S as TORCHSERVE_GRACE_S

# beyond the time in which the worker must load a model, since it packs first
START_MARGIN_S = 60.0
# beyond the time in which TorchServe must stop
WORKER_MARGIN_S = 4.0
# beyond the time in which the gateway must drain; after that it is killed
GATEWAY_MARGIN_S = 6.0
POLL_S = 0.2


def serve(port: int | None) -> int:
    """Run until SIGINT or SIGTERM, then return 0.

    Returns 1 where the port is taken, or a subservice ends and a restart would not help.
    """
    stopping = stop_on_signals()
    settings = Settings() if port is None else Settings(port=port)
    logs.configure(settings)
    try:
        host, port = settings.host, available_port(settings.host, settings.port)
    except CannotListenError as error:
        console.print(str(error), style="red")
        return 1
    with ExitStack() as stack:  # ends the gateway first: it drains while TorchServe still answers
        subservices = start(settings, port, stack)
        try:
            supervise(subservices, url_of(host, port), stopping)
        except SubserviceEndedError as error:
            console.print(str(error), style="red")
            return 1
        console.print("stopping ...")
        if gateway := subservices["gateway"].process:
            forward_signals(gateway)
    console.print("stopped")
    return 0


def start(settings: Settings, port: int, stack: ExitStack) -> dict[str, Subservice]:
    """Start the worker, then the gateway; `stack` stops them in the reverse order."""
    console.print(
        f"starting TorchServe and loading {', '.join(settings.models)}: some seconds, longer "
        "for a large model ..."
    )
    environment = subservice_environment(settings, port)
    drain_s = settings.drain_delay_s + settings.shutdown_grace_s
    subservices = {
        "worker": Subservice("worker", environment, TORCHSERVE_GRACE_S + WORKER_MARGIN_S),
        "gateway": Subservice("gateway", environment, drain_s + GATEWAY_MARGIN_S),
    }
    for subservice in subservices.values():
        stack.callback(subservice.stop)
        subservice.start()
    return subservices


def forward_signals(gateway: Subprocess) -> None:
    """Forward a second Ctrl-C to the gateway, which then stops without draining."""
    for signum in STOP_SIGNALS:
        signal.signal(signum, lambda _signum, _frame: gateway.terminate())


def supervise(subservices: Mapping[str, Subservice], url: str, stopping: threading.Event) -> None:
    """Announce readiness, and restart subservices that end; returns when `stopping` is set.

    Raises SubserviceEndedError.
    """
    started = time.monotonic()
    announced = False
    while not stopping.wait(POLL_S):
        for subservice in subservices.values():
            subservice.restart_if_ended(may_restart=announced)
        if not announced and is_ready(url):
            announce(url, time.monotonic() - started, silent_models(url))
            announced = True
        if not announced and time.monotonic() - started > START_TIMEOUT_S + START_MARGIN_S:
            raise SubserviceEndedError(
                f"not ready after {time.monotonic() - started:.0f} s; see above"
            )
