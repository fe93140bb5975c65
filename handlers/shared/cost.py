"""What an image costs: one currency, predicted CPU seconds, for every bound.

Images differ by a factor of 100,000: a thumbnail, and the confidence of a phone photo. Header and
options tell how much there is to do (`Work`), the worker measures at warm-up how fast it does it
(`CostRates`, part of its model card), and their product decides who is refused, what is handed to
TorchServe at a time, and how long a batch may take. No torch here: the gateway predicts, too.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from handlers.shared.errors import ImageTooCostlyError
from handlers.shared.photo import Header

MEGA = 1e6
# of what a JPEG's pixels take, for each scan but the first: one that refines earlier ones looks at
# all coefficients, however few bytes it has
SCAN_SHARE = 0.4
# an image is long where those in its batch would wait this much longer for it than for usual ones;
# on a fast machine that may be many times a usual one's, and still nobody notices
LONG = 2.0
LEAST_LONG_S = 0.25
# what an image may take, in usual ones
MOST = 10.0
LEAST_MOST_S = 5.0
# what is added up and taken away again comes back to zero: a power of two, exact in binary
STEPS_PER_S = 4096


@dataclass(frozen=True, slots=True)
class Work:
    """What there is to do for one image: its file, and what is asked for.

    `pixels` are the photo's own, `frame_pixels` those that the network sees; `per_pixel` is how
    much more than usual in its format decoding one takes.
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
        """Read the work off a photo's header; `frame_pixels` is what the network will see of it."""
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
    """What a format's decoder takes: it has all pixels to make, of all bytes."""

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
        """Seconds that an image may take, unless the operator says otherwise."""
        return max(LEAST_MOST_S, MOST * self.usual_s(working_max_side))

    def usual_s(self, working_max_side: int) -> float:
        """Predict a JPEG of 4:3 that the network sees as it is, of one byte for four pixels."""
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
