"""What a request says beside its photo: the server, its key, and the options.

Called by the commands that send requests; imports nothing that takes long.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from service.client.files import OutputName

if TYPE_CHECKING:
    from fcnserve_client import Model
    from fcnserve_client.http.options import RenderOptions


@dataclass(frozen=True, slots=True)
class Server:
    """A server's URL, and the API key for it."""

    url: str
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Query:
    """The request's options, named as in the API; None leaves the server's default."""

    output: OutputName = "mask"
    classes: str | None = None
    min_area: int | None = None
    alpha: float | None = None
    orientation: Literal["exif", "stored"] | None = None
    max_side: int | None = None
    model: str | None = None
    timeout_ms: int | None = None
    legend: bool | None = None

    def options(self) -> "RenderOptions":
        """Give the options beside the output, for `AsyncClient.render`."""
        return {
            "classes": self.classes,
            "min_area": self.min_area,
            "alpha": self.alpha,
            "orientation": self.orientation,
            "max_side": self.max_side,
            "model": self.model,
            "timeout_ms": self.timeout_ms,
            "legend": self.legend,
        }

    def of_answer(self) -> dict[str, str]:
        """Give the options that an answer depends on, apart from its model."""
        options = asdict(replace(self, model=None, timeout_ms=None))
        return {name: str(value) for name, value in options.items() if value is not None}


class UnknownModelError(ValueError):
    """The server has no model of this name."""


def chosen_model(models: "Sequence[Model]", name: str | None) -> "Model":
    """Return the model of this name, or the server's default; raises UnknownModelError."""
    for model in models:
        if name in {None, model.name}:
            return model
    names = ", ".join(model.name for model in models) or "none"
    raise UnknownModelError(f"the server has no model {name!r}; it has {names}")
