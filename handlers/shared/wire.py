"""The wire between gateway and worker: media types, sections, options and report.

Images travel through TorchServe together, as one HTTP body of sections
(`handlers.shared.sections`): for each image its `WorkerOptions` and its bytes, and in the answer,
in the same order, for each the media type, the `Report`, and the bytes of its mask or problem. The
gateway writes the options (`service.pipeline.options`) and reads the report
(`service.backend.client`); the worker reads the options and writes the report (`handlers.job`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json, to_json

from handlers.shared.errors import WorkerFailedError

# of every answer of a worker, which distinguishes it from TorchServe's own: name@digest
MODEL_HEADER = "X-Fcnserve-Model"
# of each answer of a worker whose TorchServe is about to stop: it is to be sent no more images
DRAINING_HEADER = "X-Fcnserve-Draining"
# beside a mask that is an answer's whole body: see handlers/job.py
REPORT_HEADER = "X-Fcnserve-Report"

# of a request with images, and of its answer; TorchServe would decode JSON or text
IMAGES_MEDIA_TYPE = "application/vnd.fcnserve.images"
REQUEST_SECTIONS = 2  # options, image
ANSWER_SECTIONS = 3  # media type, report, mask or problem
# of the images that share a request: TorchServe holds each request, and its answer, several times
MOST_JOINT_BYTES = 32 * 1024 * 1024
MOST_JOINT_PIXELS = 128_000_000
# of an image's answer, beside PROBLEM_MEDIA_TYPE of `handlers.shared.errors`
JSON_MEDIA_TYPE = "application/json"
PNG_MEDIA_TYPE = "image/png"


class WorkerOptions(BaseModel):
    """What the gateway asks for one image; `describe` is answered with the model's card and needs
    no image.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: Literal["mask", "confidence", "describe"] = "mask"
    orientation: Literal["exif", "stored"] = "exif"
    max_side: int | None = Field(default=None, ge=1)
    # predicted CPU seconds: see handlers/shared/cost.py
    cost_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    # a worker has crashed with this image in work, perhaps another TorchServe's
    suspect: bool = False
    request_id: str = Field(default="", max_length=128, pattern=r"^[A-Za-z0-9._:/+=-]*$")
    trace_id: str = Field(default="", pattern=r"^([0-9a-f]{32})?$")  # W3C Trace Context

    def to_json(self) -> str:
        """Write one line of ASCII; defaults are left out."""
        return self.model_dump_json(exclude_defaults=True)


DESCRIBE = WorkerOptions(output="describe")


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """One forward pass: its images, their own pixels, and the pixels of all their canvases."""

    images: int
    valid_pixels: int
    padded_pixels: int


@dataclass(frozen=True, slots=True)
class Report:
    """What happened to an image: milliseconds by pipeline verb, its batch, its forward pass, and
    the pixels of its mask by class number.

    The figures of a batch and of a pass ride on their first image only: sums count each once.
    """

    stages_ms: Mapping[str, float]
    batch_images: int | None = None
    group: GroupFigures | None = None
    class_pixels: Mapping[int, int] = field(default_factory=dict)

    def to_json(self) -> str:
        """Write one ASCII line, fit for a header."""
        report = {
            "stages_ms": {verb: round(ms, 3) for verb, ms in self.stages_ms.items()},
            "batch_images": self.batch_images,
            "group": self.group,
            "class_pixels": self.class_pixels,
        }
        return to_json(report, ensure_ascii=True).decode()

    @classmethod
    def from_json(cls, line: str | bytes) -> "Report":
        """Parse a worker's report; raises WorkerFailedError for one of another release.

        Plain JSON and dataclasses: this runs once an answer, on the gateway's event loop.
        """
        try:
            report: dict[str, Any] = from_json(line)
            return cls(
                report["stages_ms"],
                report["batch_images"],
                read_group(report["group"]),
                {int(number): pixels for number, pixels in report["class_pixels"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise WorkerFailedError(
                "a report is not what a worker of this version sends; "
                "run gateway and worker from the same release"
            ) from error


def read_group(group: Mapping[str, int] | None) -> GroupFigures | None:
    if group is None:
        return None
    return GroupFigures(group["images"], group["valid_pixels"], group["padded_pixels"])
