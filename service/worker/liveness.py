"""Does TorchServe answer? A thread a model keeps asking it, and any answer to anybody counts.

What is asked for is the model's card: it goes the way of an image, through queue and worker, and
costs next to nothing. It also shares the fate of the images beside it: when one of them ends the
worker, this answer is lost, too. So the workers leave word of each batch that they answer, and of
having loaded their model (`handlers.shared.flight_recorder`). TorchServe's own `/ping` answers
while its workers are dead. Called by `service.worker.run`, and read by
`service.worker.process_metrics`.
"""

import http.client
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from handlers.shared.flight_recorder import last_signs_s
from handlers.shared.wire import BODY_MEDIA_TYPE, DESCRIBE, MODEL_HEADER, OPTIONS_HEADER

INTERVAL_S = 5.0
# until the first answer; somebody waits for it
FIRST_INTERVAL_S = 0.5
HEADERS = {OPTIONS_HEADER: DESCRIBE.to_json(), "Content-Type": BODY_MEDIA_TYPE}


class LivenessProbe:
    """Remembers, for each model, when its workers last answered."""

    def __init__(
        self,
        host: str,
        port: int,
        models: Sequence[str],
        patience_s: float,
        left_out: Sequence[str] = (),
        flight_records: Path = Path("/nonexistent"),
    ) -> None:
        """Take TorchServe's inference address, how long one answer may take, which models it was
        not given (these stay silent), and where its workers record what they do.
        """
        self.models = models
        self._flight_records = flight_records
        self._address = (host, port)
        self._patience_s = patience_s
        self._started = time.monotonic()
        self._answered: dict[str, float | None] = dict.fromkeys((*models, *left_out))

    def silent_s(self) -> dict[str, float]:
        """Seconds since each model's last sign of life, or since the start: an answer, or a worker
        that has loaded it.
        """
        now = time.monotonic()
        return {model: now - self._last_sign(model) for model in self._answered}

    def has_answered(self, model: str) -> bool:
        """Tell whether a model has answered anybody at least once."""
        _, answered_s = last_signs_s(self._flight_records / model)
        return self._answered[model] is not None or answered_s > 0

    def _last_sign(self, model: str) -> float:
        signs = last_signs_s(self._flight_records / model)
        return max(self._started, self._answered[model] or 0.0, *signs)

    def is_well(self, longest_s: float) -> bool:
        """Tell whether every model has answered, and one of them lately: others have workers of
        their own, and TorchServe brings back those that end.
        """
        silent_s = self.silent_s()
        return (
            all(map(self.has_answered, self.models))
            and min(silent_s[model] for model in self.models) < longest_s
        )

    def ask(self, model: str) -> bool:
        """Ask a model once; tell whether it has answered."""
        connection = http.client.HTTPConnection(*self._address, timeout=self._patience_s)
        try:
            connection.request("POST", f"/predictions/{model}", b"", HEADERS)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        if answer.headers[MODEL_HEADER] is None:  # TorchServe's own words
            return False
        self._answered[model] = time.monotonic()
        return True


@contextmanager
def asking(canary: LivenessProbe) -> Iterator[None]:
    """Have a thread a model ask again and again; on leaving they are told to stop, and not waited
    for. One that hangs keeps no other from being asked.
    """
    stopping = threading.Event()

    def ask_on(model: str) -> None:
        while True:
            answered = canary.ask(model)
            if stopping.wait(INTERVAL_S if answered else FIRST_INTERVAL_S):
                return

    for model in canary.models:
        threading.Thread(target=ask_on, args=(model,), name="canary", daemon=True).start()
    try:
        yield
    finally:
        stopping.set()
