"""The client of TorchServe: images and their options out, the worker's answers in.

The images of one request are answered together, each with an answer of its own. An answer without
the worker's model header is TorchServe's own: no worker took the images. Called by
`service.backend.attempt` (images), `service.backend.registry` (cards) and `service.backend.health`
(liveness probes).
"""

from collections.abc import Sequence
from http import HTTPStatus
from itertools import chain
from typing import NamedTuple

from handlers.shared.errors import PROBLEM_MEDIA_TYPE, WorkerFailedError, read_problem
from handlers.shared.sections import split_sections, with_lengths
from handlers.shared.wire import (
    ANSWER_SECTIONS,
    DRAINING_HEADER,
    IMAGES_MEDIA_TYPE,
    MODEL_HEADER,
    Report,
    WorkerOptions,
)
from service.backend.connections import Connections
from service.errors import ModelMissingError, NotReadyError, WorkerCrashedError
from service.inference_address import InferenceAddress

HEADERS = ((b"Content-Type", IMAGES_MEDIA_TYPE.encode()),)
# as they are read
MODEL = MODEL_HEADER.lower().encode()
DRAINING = DRAINING_HEADER.lower().encode()


class SentImage(NamedTuple):
    """An image file and what the worker is asked for: `WorkerOptions` as a line of JSON."""

    options: bytes
    body: bytes


class WorkerAnswer(NamedTuple):
    """A mask, a card or a problem, as the worker wrote it."""

    body: bytes
    media_type: str
    model: str  # name@digest
    report: Report
    is_draining: bool = False  # its TorchServe is about to stop

    @property
    def outcome(self) -> str:
        """One of `service.metrics.attempts.OUTCOMES`."""
        return "problem" if self.media_type == PROBLEM_MEDIA_TYPE else "answered"


class TorchServeClient:
    """The inference API of one TorchServe."""

    def __init__(self, address: InferenceAddress, max_answer_bytes: int) -> None:
        self._connections = Connections(address, max_answer_bytes)

    async def close(self) -> None:
        await self._connections.close()

    async def send(
        self, model: str, body: bytes, options: WorkerOptions, timeout_s: float
    ) -> WorkerAnswer:
        """Send a single image; raises what `send_together` raises."""
        (answer,) = await self.send_together(
            model, [SentImage(options.to_json().encode(), body)], timeout_s
        )
        return answer

    async def send_together(
        self, model: str, images: Sequence[SentImage], timeout_s: float
    ) -> list[WorkerAnswer]:
        """Send images to a worker in one request, and return the answer to each.

        Raises NotReadyError, WorkerCrashedError, or WorkerFailedError; WorkerSilentError after
        `timeout_s`, since TorchServe may lose a request. A request's deadline is the caller's.
        """
        sections = list(chain.from_iterable(images))
        status, headers, body = await self._connections.post(
            f"/predictions/{model}", HEADERS, with_lengths(sections), timeout_s
        )
        if MODEL not in headers:
            raise problem_of_torchserve(status, model)
        media_type, tag = (
            headers.get(name, b"").decode("latin-1") for name in (b"content-type", MODEL)
        )
        answers = read_answers(media_type, body, tag)
        if DRAINING in headers:
            answers = [answer._replace(is_draining=True) for answer in answers]
        if len(answers) != len(images):
            raise WorkerFailedError(
                f"the worker has {len(answers)} answers to {len(images)} images, which is a defect"
            )
        return answers


def read_answers(media_type: str, body: bytes, model: str) -> list[WorkerAnswer]:
    """Read the answers to the images of one request; raises WorkerFailedError for those of another
    release, and the problem of a request that was not read.
    """
    if media_type == PROBLEM_MEDIA_TYPE:
        raise read_problem(body)
    if media_type != IMAGES_MEDIA_TYPE:
        raise WorkerFailedError(
            f"a worker of this version answers with {IMAGES_MEDIA_TYPE}; "
            "run gateway and worker from the same release"
        )
    return [
        WorkerAnswer(bytes(mask), str(kind, "latin-1"), model, Report.from_json(bytes(report)))
        for kind, report, mask in split_sections(body, ANSWER_SECTIONS)
    ]


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
