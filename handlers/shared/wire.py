"""What a worker takes and gives: one `Job` and one `Answer` per image.

The gateway speaks this as JSON headers.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from handlers.shared.errors import PROBLEM_MEDIA_TYPE, ProblemError, WorkerFailedError

OPTIONS_HEADER = "X-Fcnserve-Options"
MODEL_HEADER = "X-Fcnserve-Model"
REPORT_HEADER = "X-Fcnserve-Report"

JSON_MEDIA_TYPE = "application/json"
# an image that is to be sent again: see handlers/stages/share.py
PUT_OFF_MEDIA_TYPE = "application/x-put-off"
PNG_MEDIA_TYPE = "image/png"


class Options(BaseModel):
    """What the gateway asks for; `describe` is answered with the model's card and needs no
    image.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: Literal["mask", "confidence", "describe"] = "mask"
    orientation: Literal["exif", "stored"] = "exif"
    max_side: int | None = Field(default=None, ge=1)
    # predicted CPU seconds: see handlers/shared/cost.py
    cost_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    # it would hold the answers of others in its batch
    is_long: bool = False
    # times that it was put off for the others of its batch
    put_off: int = Field(default=0, ge=0)
    # a worker has crashed with this image in hand, perhaps another TorchServe's
    suspect: bool = False
    request_id: str = Field(default="", max_length=128, pattern=r"^[A-Za-z0-9._:/+=-]*$")


@dataclass(frozen=True, slots=True)
class Job:
    """One image as it came, and what is wanted of it."""

    body: bytes | bytearray
    options: Options = field(default_factory=Options)

    @property
    def request_id(self) -> str:
        """What the gateway calls the request, for the log."""
        return self.options.request_id


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """One forward pass: its images, their own pixels, and the pixels of the canvases they lay
    on.
    """

    images: int
    valid_pixels: int
    padded_pixels: int


@dataclass(frozen=True, slots=True)
class Report:
    """What happened to an image: milliseconds by pipeline verb, and the company it had.

    A batch's and a group's figures ride on their first member only: sums count each once. A mask
    tells how many of its pixels have which class.
    """

    stages_ms: Mapping[str, float]
    batch_images: int | None = None
    group: GroupFigures | None = None
    class_pixels: Mapping[int, int] = field(default_factory=dict)

    def with_stages(self, **stages_ms: float) -> "Report":
        return replace(self, stages_ms={**self.stages_ms, **stages_ms})

    def json(self) -> str:
        """One ASCII line, fit for a header."""
        fields = asdict(self)
        fields["stages_ms"] = {verb: round(ms, 3) for verb, ms in self.stages_ms.items()}
        return json.dumps(fields, separators=(",", ":"))


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
    """Read the gateway's options header; one that is not its own is a problem of this job alone."""
    try:
        return Job(body, Options.model_validate_json(options_json or "{}"))
    except ValidationError:
        return WorkerFailedError(
            f"{OPTIONS_HEADER} is not what a gateway of this version sends; "
            "run gateway and worker from the same release"
        )
