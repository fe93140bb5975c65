"""The cost of an image: predicted CPU seconds, the one unit of every limit.

Images differ by a factor of 100,000: a thumbnail, and the confidence of a phone photo. Header and
options define the amount of work (`Work`), the worker measures its speed at warm-up (`CostRates`,
part of its model card), and their product decides which images are refused, how many are sent to
TorchServe at a time, and how long a batch may take. No torch here: the gateway predicts with it
(`service.pipeline`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from handlers.shared.errors import ImageTooCostlyError
from handlers.shared.photo import Header

MEGA = 1e6
# of what a JPEG's pixels take, for each scan but the first: one that refines earlier ones visits
# all coefficients, however few bytes it has
SCAN_SHARE = 0.4
# an image is long where the others of its batch would wait this much longer than for usual images;
# below LEAST_LONG_S no client notices, also on a fast machine
LONG = 2.0
LEAST_LONG_S = 0.25
# what an image may take, in usual ones
MOST = 10.0
LEAST_MOST_S = 5.0
# seconds that are added and subtracted again sum to zero: a power of two, exact in binary
STEPS_PER_S = 4096


@dataclass(frozen=True, slots=True)
class Work:
    """The amount of work for one image: its file, and the options.

    `pixels` are the photo's own, `frame_pixels` those of the network; `per_pixel` is how much more
    than usual in its format decoding a pixel takes.
    """

    format: str
    pixels: int
    scans: int
    body_bytes: int
    frame_pixels: int
    confidence: bool
    per_pixel: float = 1.0

    @classmethod
    def of(cls, header: Header, body_bytes: int, frame_pixels: int, *, confidence: bool) -> "Work":
        """Compute the work from a photo's header and the pixels of its frame."""
        pixels = header.height * header.width
        return cls(
            header.format,
            pixels,
            header.scans,
            body_bytes,
            frame_pixels,
            confidence,
            header.work,
        )


class DecodeRate(BaseModel):
    """The time that a format's decoder takes, by pixels and by bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    s_per_megapixel: float = Field(ge=0)
    s_per_megabyte: float = Field(ge=0)


class CostRates(BaseModel):
    """How fast a worker is, in CPU seconds (on a GPU, of its passes, seconds)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    decode: Mapping[str, DecodeRate] = Field(description="by image format")
    pass_s: float = Field(ge=0, description="a forward pass of no pixels")
    forward_s_per_megapixel: float = Field(ge=0, description="of what the network sees")
    labels_s_per_megapixel: float = Field(ge=0, description="of the photo's own pixels")
    confidence_s_per_megapixel: float = Field(ge=0, description="beyond labels")

    def predicted_s(self, work: Work) -> float:
        """Predict the seconds from an image's bytes to its mask's, waiting apart; rounded up."""
        seconds = self._decode_s(work) + self._forward_s(work) + self._labels_s(work)
        return math.ceil(seconds * STEPS_PER_S) / STEPS_PER_S

    def long_s(self, working_max_side: int) -> float:
        """Seconds from which an image does not share a batch with shorter ones."""
        return max(LEAST_LONG_S, LONG * self.usual_s(working_max_side))

    def most_s(self, working_max_side: int) -> float:
        """Seconds that an image may take, unless the operator sets another limit."""
        return max(LEAST_MOST_S, MOST * self.usual_s(working_max_side))

    def usual_s(self, working_max_side: int) -> float:
        """Predict a JPEG of 4:3 at the working size, of one byte for four pixels."""
        pixels = working_max_side**2 * 3 // 4
        return self.predicted_s(Work("jpeg", pixels, 1, pixels // 4, pixels, confidence=False))

    def _decode_s(self, work: Work) -> float:
        rate = self.decode[work.format]
        walks = work.per_pixel * (1 + SCAN_SHARE * (work.scans - 1))
        seconds = work.pixels * rate.s_per_megapixel * walks + work.body_bytes * rate.s_per_megabyte
        return seconds / MEGA

    def _forward_s(self, work: Work) -> float:
        return self.pass_s + work.frame_pixels * self.forward_s_per_megapixel / MEGA

    def _labels_s(self, work: Work) -> float:
        confidence = self.confidence_s_per_megapixel if work.confidence else 0.0
        return work.pixels * (self.labels_s_per_megapixel + confidence) / MEGA


def check_cost(work: Work, rates: CostRates, limit_s: float) -> float:
    """Return the predicted seconds; raises ImageTooCostlyError where there are more than allowed.

    The limit is the operator's (FCNSERVE_MAX_IMAGE_SECONDS) or the model's.
    """
    seconds = rates.predicted_s(work)
    if seconds > limit_s:
        scans = f" in {work.scans} scans" if work.scans > 1 else ""
        confidence = " with confidence" if work.confidence else ""
        raise ImageTooCostlyError(
            f"this {work.format} of {work.pixels} pixels{scans}{confidence} takes about "
            f"{seconds:.1f} s of computing; the limit is {limit_s:.1f} s; send it smaller, save it "
            "anew as a plain JPEG, ask for less (max_side, output), or raise "
            "FCNSERVE_MAX_IMAGE_SECONDS and the model's response_timeout_s"
        )
    return seconds
