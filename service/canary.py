"""Does TorchServe answer? A thread beside it keeps asking, and remembers when it last did.

What is asked for is the model's card: it goes the way of an image, through queue and worker, and
costs next to nothing. TorchServe's own `/ping` answers while its workers are dead. Called by
`service.worker`, and read by `service.exporter`.
"""

import http.client
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus

from service.models import DESCRIBE
from service.upstream import MODEL_HEADER, OPTIONS_HEADER

INTERVAL_S = 5.0
# until the first answer; somebody waits for it
FIRST_INTERVAL_S = 0.5
HEADERS = {OPTIONS_HEADER: json.dumps(DESCRIBE), "Content-Type": "application/octet-stream"}


class Canary:
    """Remembers, for each model, when its workers last answered."""

    def __init__(self, host: str, port: int, models: Sequence[str], patience_s: float) -> None:
        """Take TorchServe's inference address, and how long one answer may take."""
        self._address = (host, port)
        self._patience_s = patience_s
        self._started = time.monotonic()
        self._answered: dict[str, float | None] = dict.fromkeys(models)

    def silent_s(self) -> float:
        """Seconds since the model that has been silent longest answered, or since the start."""
        now = time.monotonic()
        return max(now - (at or self._started) for at in self._answered.values())

    def has_answered(self) -> bool:
        """Tell whether every model has answered at least once."""
        return None not in self._answered.values()

    def ask(self) -> bool:
        """Ask every model once; tell whether all have answered."""
        answers = [self._ask(model) for model in self._answered]
        return all(answers)

    def _ask(self, model: str) -> bool:
        connection = http.client.HTTPConnection(*self._address, timeout=self._patience_s)
        try:
            connection.request("POST", f"/predictions/{model}", b"", HEADERS)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        if answer.status != HTTPStatus.OK or answer.headers[MODEL_HEADER] is None:
            return False
        self._answered[model] = time.monotonic()
        return True


@contextmanager
def asking(canary: Canary) -> Iterator[None]:
    """Have a thread ask again and again; on leaving it is told to stop, and not waited for."""
    stopping = threading.Event()

    def ask_on() -> None:
        while True:
            answered = canary.ask()
            if stopping.wait(INTERVAL_S if answered else FIRST_INTERVAL_S):
                return

    threading.Thread(target=ask_on, name="canary", daemon=True).start()
    try:
        yield
    finally:
        stopping.set()
