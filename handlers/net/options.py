"""What `model.yaml` may say of an architecture beyond its name. Knows nothing of torch."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Channels = Annotated[int, Field(ge=1, le=65536)]


class VggOptions(BaseModel):
    """Of `fcn8s-vgg16`: `padding: 100` is the paper's, `same` makes maps exact fractions of 32."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    padding: Literal["same", 100] = 100
    # of the five stages
    channels: tuple[Channels, Channels, Channels, Channels, Channels] = (64, 128, 256, 512, 512)
    # of fc6 and fc7
    fc_channels: Channels = 4096
