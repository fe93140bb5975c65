"""The last seconds of a TorchServe: it goes on serving, and its answers say that it is about to
stop, so that gateways send their images elsewhere.

The workers' answers have a header while the file DRAINING is in the folder of their records. A
gateway that has sent nothing learns of it by its next liveness probe. In: TorchServe and a time
limit. Called by `service.worker.run` after SIGTERM.
"""

import time

import structlog

from handlers.shared.flight_records import DRAINING_FILE, has_images
from service.worker.torchserve import TorchServe

# gateways that send nothing probe each model every two seconds
ANNOUNCED_S = 3.0
# without an image in work; TorchServe passes on its next request within milliseconds
QUIET_S = 1.0
POLL_S = 0.1

logger = structlog.get_logger("fcnserve.worker")


def drain(server: TorchServe, drain_s: float) -> None:
    """Return once TorchServe has had no image for QUIET_S, after ANNOUNCED_S at least and `drain_s`
    at most; at once where that is 0.
    """
    if not drain_s:
        return
    (server.flight_records / DRAINING_FILE).touch()
    logger.info("draining", seconds=drain_s)
    began = busy_at = time.monotonic()
    while time.monotonic() - began < drain_s and server.exit_code() is None:
        if any(has_images(server.flight_records / model) for model in server.models):
            busy_at = time.monotonic()
        if time.monotonic() - max(began + ANNOUNCED_S - QUIET_S, busy_at) >= QUIET_S:
            return
        time.sleep(POLL_S)
