"""Probes whether TorchServe's workers answer: one thread per model requests the model's card.

In: TorchServe's address and the models. Out: the seconds since each model's last sign of life. The
request takes the way of an image, through TorchServe's queue and a worker, at almost no cost. It is
lost when an image of its batch ends the worker, so the workers also record each batch that they
answer, and that they have loaded their model (`handlers.shared.flight_records`); any of these
signs counts. TorchServe's own `/ping` answers while its workers are dead. Called by
`service.worker.run`, and read by `service.worker.process_metrics`.
"""

import http.client
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from handlers.shared.flight_records import last_signs_s
from handlers.shared.sections import with_lengths
from handlers.shared.wire import DESCRIBE, IMAGES_MEDIA_TYPE, MODEL_HEADER
from service.inference_address import InferenceAddress

INTERVAL_S = 5.0
# until the first answer, which the gateway waits for
FIRST_INTERVAL_S = 0.5
HEADERS = {"Content-Type": IMAGES_MEDIA_TYPE}
CARD_REQUEST = b"".join(with_lengths([DESCRIBE.to_json().encode(), b""]))


class InferenceConnection(http.client.HTTPConnection):
    """A connection to TorchServe, by TCP or through a socket."""

    def __init__(self, address: InferenceAddress, timeout_s: float) -> None:
        super().__init__(address.host, address.port, timeout=timeout_s)
        self._socket_path = address.socket_path

    def connect(self) -> None:
        if not self._socket_path:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._socket_path)


class LivenessProbe:
    """When the workers of each model last answered."""

    def __init__(
        self,
        address: InferenceAddress,
        models: Sequence[str],
        timeout_s: float,
        left_out: Sequence[str] = (),
        flight_records: Path = Path("/nonexistent"),
    ) -> None:
        """Take TorchServe's inference address, the time limit of one answer, the models that
        TorchServe does not load (they stay silent), and the folder of the workers' records.
        """
        self.models = models
        self._flight_records = flight_records
        self._address = address
        self._timeout_s = timeout_s
        self._started = time.monotonic()
        self._answered: dict[str, float | None] = dict.fromkeys((*models, *left_out))

    def silent_s(self) -> dict[str, float]:
        """Return by model the seconds since its last sign of life (an answer, or a worker that
        has loaded it), or since the start.
        """
        now = time.monotonic()
        return {model: now - self._last_sign(model) for model in self._answered}

    def has_answered(self, model: str) -> bool:
        """Return whether a model has answered any request."""
        _, answered_s = last_signs_s(self._flight_records / model)
        return self._answered[model] is not None or answered_s > 0

    def is_healthy(self, max_silence_s: float) -> bool:
        """Return whether every model has answered once, and at least one of them recently: each
        has its own workers, and TorchServe restarts those that end.
        """
        silent_s = self.silent_s()
        return (
            all(map(self.has_answered, self.models))
            and min(silent_s[model] for model in self.models) < max_silence_s
        )

    def probe(self, model: str) -> bool:
        """Send one request to a model; returns whether a worker answered."""
        connection = InferenceConnection(self._address, self._timeout_s)
        try:
            connection.request("POST", f"/predictions/{model}", CARD_REQUEST, HEADERS)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        if answer.headers[MODEL_HEADER] is None:  # an answer of TorchServe's own
            return False
        self._answered[model] = time.monotonic()
        return True

    def _last_sign(self, model: str) -> float:
        signs = last_signs_s(self._flight_records / model)
        return max(self._started, self._answered[model] or 0.0, *signs)


@contextmanager
def probing(probe: LivenessProbe) -> Iterator[None]:
    """Probe every model at an interval, each in its own thread, so that one that hangs does not
    delay the others. On exit the threads get a signal to end, and are not joined.
    """
    stopping = threading.Event()

    def repeat(model: str) -> None:
        while True:
            answered = probe.probe(model)
            if stopping.wait(INTERVAL_S if answered else FIRST_INTERVAL_S):
                return

    for model in probe.models:
        threading.Thread(target=repeat, args=(model,), name="liveness", daemon=True).start()
    try:
        yield
    finally:
        stopping.set()
