"""The client of TorchServe: an image's bytes and options out, the worker's answer in.

An answer without the worker's model header is TorchServe's own: no worker took the image. Called by
`service.backend.attempt` (images), `service.backend.registry` (cards) and `service.backend.health`
(liveness probes).
"""

from dataclasses import dataclass
from http import HTTPStatus

from handlers.shared.errors import PROBLEM_MEDIA_TYPE
from handlers.shared.wire import (
    BODY_MEDIA_TYPE,
    DEFERRED_MEDIA_TYPE,
    MODEL_HEADER,
    OPTIONS_HEADER,
    REPORT_HEADER,
    Report,
    WorkerOptions,
)
from service.backend.connections import Connections
from service.errors import ModelMissingError, NotReadyError, WorkerCrashedError
from service.inference_address import InferenceAddress

OPTIONS, CONTENT_TYPE = OPTIONS_HEADER.encode(), b"Content-Type"
# as they are read: in lower case
MODEL, REPORT = (name.lower().encode() for name in (MODEL_HEADER, REPORT_HEADER))


@dataclass(frozen=True, slots=True)
class WorkerAnswer:
    """A mask, a card or a problem, as the worker wrote it."""

    body: bytes
    media_type: str
    model: str  # name@digest
    report: Report

    @property
    def is_deferred(self) -> bool:
        """Whether to send the image again: the worker put others of its batch first."""
        return self.media_type == DEFERRED_MEDIA_TYPE

    @property
    def outcome(self) -> str:
        """One of `service.metrics.attempts.OUTCOMES`."""
        if self.is_deferred:
            return "put_off"
        return "problem" if self.media_type == PROBLEM_MEDIA_TYPE else "answered"


class TorchServeClient:
    """TorchServe's inference API."""

    def __init__(self, url: str, max_answer_bytes: int) -> None:
        self._connections = Connections(InferenceAddress.parse(url), max_answer_bytes)

    async def close(self) -> None:
        await self._connections.close()

    async def send(
        self, model: str, body: bytes, options: WorkerOptions, timeout_s: float
    ) -> WorkerAnswer:
        """Send `body` to a worker and return its answer.

        Raises NotReadyError, WorkerCrashedError, or WorkerFailedError; WorkerSilentError after
        `timeout_s`, since TorchServe may lose a request. A request's deadline is the caller's.
        """
        headers = (
            (OPTIONS, options.to_json().encode("ascii")),
            (CONTENT_TYPE, BODY_MEDIA_TYPE.encode()),
        )
        target = f"/predictions/{model}"
        status, answered, mask = await self._connections.post(target, headers, (body,), timeout_s)
        if MODEL not in answered:
            raise problem_of_torchserve(status, model)
        report = Report.from_json(answered.get(REPORT, b"").decode("latin-1"))
        media_type = answered.get(b"content-type", b"").decode("latin-1")
        return WorkerAnswer(mask, media_type, answered[MODEL].decode("latin-1"), report)


def problem_of_torchserve(status: int, model: str) -> NotReadyError | WorkerCrashedError:
    """Translate an answer of TorchServe's own: 404 is a model that it was not given, 503 the lack
    of a worker.
    """
    if status == HTTPStatus.NOT_FOUND:
        return ModelMissingError(
            f"model {model} is to be served here, and was left out since it could not be packed or "
            "loaded; see the worker's log, or choose another with model="
        )
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return NotReadyError("no worker takes requests at present; try again shortly")
    return WorkerCrashedError("the worker crashed while it had this image; try again")
