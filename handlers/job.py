"""What enters and leaves the worker: one `Job` and one `Answer` per image.

`handlers.entry` makes jobs of TorchServe's requests and sends the answers;
`handlers.pipeline` turns the ones into the others.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from handlers.shared.errors import PROBLEM_MEDIA_TYPE, ProblemError, WorkerFailedError
from handlers.shared.wire import OPTIONS_HEADER, Report, WorkerOptions


@dataclass(frozen=True, slots=True)
class Job:
    """One image's bytes, not yet parsed, and the options of its request."""

    body: bytes | bytearray
    options: WorkerOptions = field(default_factory=WorkerOptions)

    @property
    def request_id(self) -> str:
        """The gateway's id of the request, for the log."""
        return self.options.request_id


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


def read_job(body: bytes | bytearray, options_json: str | None) -> Job | ProblemError:
    """Parse the options header; one that no gateway of this version writes is a problem of this
    image only.
    """
    try:
        return Job(body, WorkerOptions.model_validate_json(options_json or "{}"))
    except ValidationError:
        return WorkerFailedError(
            f"{OPTIONS_HEADER} is not what a gateway of this version sends; "
            "run gateway and worker from the same release"
        )
