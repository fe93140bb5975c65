"""`model.yaml`: the configuration of a model for serving.

Read by the worker and by the tools of `model_store`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Generic, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from handlers.net.options import (
    BILINEAR,
    OPTION_KEYS,
    AlexNetOptions,
    ArchitectureName,
    BackboneOptions,
    LiteOptions,
    Upsampling,
    VggOptions,
    option_key,
)

MODEL_FILE = "model.yaml"
BACKGROUND = "background"

Channel = Annotated[int, Field(ge=0, le=255)]
Side = Annotated[int, Field(ge=32, le=16384, multiple_of=32)]
Images = Annotated[int, Field(ge=1, le=256)]
Pixels = Annotated[int, Field(ge=1)]
Rgb = tuple[Channel, Channel, Channel]
Positive = Annotated[float, Field(gt=0)]
Value = TypeVar("Value")


class Strict(BaseModel):
    """Unknown keys are errors: a misspelt one would otherwise be a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Normalisation(Strict):
    """The network sees `(x - mean) / std` of each 8-bit channel, in RGB order."""

    mean: tuple[float, float, float] = (127.0, 127.0, 127.0)
    std: tuple[Positive, Positive, Positive] = (128.0, 128.0, 128.0)


class Precision(Strict):
    """The arithmetic per device; `auto` is bf16 where the processor computes in it, else fp32."""

    cpu: Literal["auto", "fp32", "bf16"] = "auto"
    cuda: Literal["bf16", "fp16", "fp32"] = "bf16"


class PerDevice(Strict, Generic[Value]):
    """A value for processors, and one for GPUs."""

    cpu: Value
    cuda: Value

    def on(self, device_kind: str) -> Value:
        """The value for `cpu` or `cuda`."""
        return self.cuda if device_kind == "cuda" else self.cpu


class BatchSize(PerDevice[Images]):
    """How many photos a worker takes at a time."""

    cpu: Images = 8
    cuda: Images = 16


class GroupPixels(PerDevice[Pixels]):
    """How many padded pixels may share one forward pass; a larger photo gets a single pass."""

    cpu: Pixels = 800_000
    cuda: Pixels = 16_000_000


class Ladder(PerDevice[tuple[Side, ...]]):
    """Heights and widths of the canvases that photos may share, in pixels."""

    cpu: tuple[Side, ...] = (128, 192, 256, 384, 512)
    cuda: tuple[Side, ...] = (128, 256, 384, 512, 640, 768)

    @field_validator("cpu", "cuda")
    @classmethod
    def _climbs(cls, sides: tuple[int, ...]) -> tuple[int, ...]:
        if list(sides) != sorted(set(sides)):
            raise ValueError("a ladder's sides go up, each once")
        return sides


class Batching(Strict):
    """How many photos a gateway sends together (`batch_size`), and what one forward pass takes of
    them; `max_delay_ms` is for a TorchServe that makes batches itself, without a gateway.
    """

    batch_size: BatchSize = BatchSize()
    max_delay_ms: int = Field(default=1, ge=1, le=1000)
    response_timeout_s: int = Field(default=30, ge=5, le=600)
    # false: passes are shared, and a GPU's kernels chosen, without a check of the last bits
    exact: bool = True
    ladder: Ladder = Ladder()
    group_pixels: GroupPixels = GroupPixels()


class ModelConfig(Strict):
    """One model folder's `model.yaml`."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    version: str = Field(default="1.0", pattern=r"^[0-9A-Za-z.]{1,16}$")
    architecture: ArchitectureName
    lite: LiteOptions | None = None
    vgg16: VggOptions | None = None
    alexnet: AlexNetOptions | None = None
    upsampling: Upsampling = BILINEAR
    weights: str = Field(default="weights.safetensors", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    # 255 is no class's number: masks have it where a filter has removed the class of a pixel
    classes: tuple[str, ...] = Field(min_length=2, max_length=255)
    # the class that is none of the others; null: there is none. Unless given: one called so
    background: str | None = None
    palette: tuple[Rgb, ...]
    normalisation: Normalisation = Normalisation()
    precision: Precision = Precision()
    working_max_side: int = Field(default=768, ge=32, le=16384)
    max_side_limit: int = Field(default=2048, ge=32, le=16384)
    batching: Batching = Batching()

    @field_validator("classes")
    @classmethod
    def _can_be_chosen(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for index, name in enumerate(names):
            if not name or name != name.strip() or "," in name or not name.isprintable():
                raise ValueError(
                    f"{name!r} is no name that a request can choose with classes=; leave out "
                    "commas, and spaces at the ends"
                )
            if name in names[:index]:
                raise ValueError(f"{name!r} is there twice; give each class a name of its own")
        return names

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.palette) != len(self.classes):
            raise ValueError(
                f"palette has {len(self.palette)} colours for {len(self.classes)} classes; "
                "give one [red, green, blue] per class, in the order of `classes`"
            )
        if self.background is not None and self.background not in self.classes:
            raise ValueError(
                f"background is {self.background!r}, which is none of `classes`; name one of "
                "them, or null where every class is something to be seen"
            )
        own = option_key(self.architecture)
        for other in OPTION_KEYS.values():
            if other != own and getattr(self, other) is not None:
                raise ValueError(
                    f"{other}: these options are not for {self.architecture}; leave them out"
                )
        if self.working_max_side > self.max_side_limit:
            raise ValueError(
                f"working_max_side is {self.working_max_side}, above max_side_limit "
                f"{self.max_side_limit}; raise the limit or reduce the default"
            )
        return self

    @property
    def backbone_options(self) -> BackboneOptions | None:
        """The options of the backbone, if there are any."""
        return self.lite or self.vgg16 or self.alexnet

    @property
    def background_id(self) -> int | None:
        """The number of the class that is none of the others, if there is one."""
        given = "background" in self.model_fields_set
        name = self.background if given else background_among(self.classes)
        return None if name is None else self.classes.index(name)

    @property
    def palette_bytes(self) -> bytes:
        """The colours as a PNG's PLTE chunk holds them: 3 bytes a class."""
        return bytes(channel for colour in self.palette for channel in colour)


def background_among(classes: Sequence[str]) -> str | None:
    """Return the class named background, in any case of letters."""
    return next((name for name in classes if name.casefold() == BACKGROUND), None)


def load_config(folder: Path) -> ModelConfig:
    """Read and check `folder/model.yaml`; raises pydantic's ValidationError or OSError."""
    return ModelConfig.model_validate(yaml.safe_load((folder / MODEL_FILE).read_text()))
