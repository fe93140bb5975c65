"""The model card on the wire: the worker's description of the model that it has loaded.

`handlers.runtime.model_card` makes it; `service.backend.registry` reads it, and serves it with
fields computed from it.
"""

from pydantic import BaseModel, ConfigDict, Field

from handlers.shared.cost import CostRates

Rgb = tuple[int, int, int]


class WorkerModelCard(BaseModel):
    """What the gateway has to know of a model: how to read its masks, its limits and its speed."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    architecture: str
    digest: str
    classes: tuple[str, ...]
    # cards of earlier releases lack it: class 0 was the background
    background_id: int | None = Field(
        0, description="the class that is none of the others; null where there is none"
    )
    palette: tuple[Rgb, ...]
    working_max_side: int
    max_side_limit: int
    batch_size: int = Field(ge=1)
    # TorchServe ends a worker that takes longer for a batch
    response_timeout_s: float = Field(0.0, ge=0)
    workers: int = Field(1, ge=1)
    costs: CostRates
    device: str
    precision: str
    numerics: str

    @property
    def tag(self) -> str:
        """The model header's value, and that of `X-Model`: name@digest."""
        return f"{self.name}@{self.digest}"
