"""Measures, while no batch is in work, the passes for which a starting worker had no time.

On a GPU a ladder has more passes than can be recorded before a worker has to answer. The rest are
recorded one by one once no batch has come for IDLE_S; a batch that comes meanwhile waits for the
one pass. Made by `handlers.pipeline`.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from handlers.runtime.device import Device, prepare_thread
from handlers.runtime.pass_costs import PassCosts
from handlers.runtime.warm_up.run import WarmUp

logger = logging.getLogger(__name__)

IDLE_S = 5.0
# of single passes that a pass is compared with; some kernels are chosen for the first time
COMPARED_S = 1.0


class IdleWarmUp:
    """Goes on with a warm-up between batches, in a thread of its own."""

    def __init__(self, warm_up: WarmUp, device: Device, use: Callable[[PassCosts], None]) -> None:
        """Take what is called with all costs after each pass."""
        self._warm_up, self._device, self._use = warm_up, device, use
        self._network_is_used = threading.Lock()
        self._idle_since = time.monotonic()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Keep the network for a batch until the block ends."""
        with self._network_is_used:
            try:
                yield
            finally:
                self._idle_since = time.monotonic()

    def start(self) -> None:
        threading.Thread(target=self._run, name="idle warm-up", daemon=True).start()

    def _run(self) -> None:
        prepare_thread(self._device)
        while self._warm_up.has_more:
            time.sleep(max(0.0, self._idle_since + IDLE_S - time.monotonic()))
            if not self.measure_if_idle():
                return
        logger.info("all passes are measured: %d are used", len(self._warm_up.costs.shared))

    def measure_if_idle(self) -> bool:
        """Measure a pass unless batches have come; False where no further one should be tried."""
        with self._network_is_used:
            if time.monotonic() < self._idle_since + IDLE_S:
                return True
            try:
                self._warm_up.measure_another(COMPARED_S)
            except RuntimeError as error:  # the next batch finds out whether the device is lost
                logger.error("cannot measure the other passes", exc_info=error)
                return False
            self._use(self._warm_up.costs)
            return True
