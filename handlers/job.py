"""What enters and leaves the worker: one `Job` and one `Answer` per image, several of them in one
request to TorchServe.

`handlers.entry` makes jobs of TorchServe's requests and sends the answers;
`handlers.pipeline` turns the ones into the others.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from handlers.shared.errors import PROBLEM_MEDIA_TYPE, ProblemError, WorkerFailedError
from handlers.shared.sections import split_sections, with_lengths
from handlers.shared.wire import IMAGES_MEDIA_TYPE, REQUEST_SECTIONS, Report, WorkerOptions


@dataclass(frozen=True, slots=True)
class Job:
    """One image's bytes, not yet parsed, and the options of its request."""

    body: bytes | bytearray
    options: WorkerOptions = field(default_factory=WorkerOptions)

    @property
    def request_id(self) -> str:
        """The gateway's id of the request, for the log."""
        return self.options.request_id

    @property
    def ids(self) -> dict[str, str]:
        """The ids by which a line of the log is found: of the request, and of its trace, if any."""
        trace = {"trace_id": self.options.trace_id} if self.options.trace_id else {}
        return {"request_id": self.request_id, **trace}


# by their index in the batch; an image that cannot be worked on has its problem there
Jobs = Mapping[int, Job | ProblemError]


@dataclass(frozen=True, slots=True)
class Answer:
    """The bytes for one image: a mask, a model card, or a problem (RFC 9457)."""

    body: bytes
    media_type: str
    report: Report

    @classmethod
    def of_problem(cls, error: ProblemError, report: Report) -> "Answer":
        return cls(json.dumps(error.problem()).encode(), PROBLEM_MEDIA_TYPE, report)


@dataclass(frozen=True, slots=True)
class JointRequest:
    """The images of one request to TorchServe; without a gateway, one photo is its whole body."""

    jobs: Sequence[Job | ProblemError]
    is_plain: bool

    @classmethod
    def read(cls, body: bytes | bytearray, media_type: str | None) -> "JointRequest":
        """Read a request; one that no gateway of this version writes is a problem."""
        if media_type != IMAGES_MEDIA_TYPE:
            return cls([Job(body)], is_plain=True)
        try:
            images = split_sections(body, REQUEST_SECTIONS)
        except WorkerFailedError as problem:
            return cls([problem], is_plain=True)
        return cls([read_job(bytes(image), bytes(options)) for options, image in images], False)


def read_job(body: bytes, options_json: bytes) -> Job | ProblemError:
    """Parse an image's options; those that no gateway of this version writes are a problem of this
    image only.
    """
    try:
        return Job(body, WorkerOptions.model_validate_json(options_json))
    except ValidationError:
        return WorkerFailedError(
            "an image's options are not what a gateway of this version sends; "
            "run gateway and worker from the same release"
        )


def joint_body(answers: Iterable[Answer]) -> bytes:
    """Write the answers to the images of one request."""
    sections = [
        section
        for answer in answers
        for section in (answer.media_type.encode(), answer.report.to_json().encode(), answer.body)
    ]
    return b"".join(with_lengths(sections))
