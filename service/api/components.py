"""The parts of the application that routes call, in one typed record. `service.app` installs them
when the gateway starts; `service.api.routes` reads them.
"""

from dataclasses import dataclass
from typing import cast

from starlette.applications import Starlette

from service.backend.health import Health
from service.backend.registry import ModelRegistry
from service.metrics.scrape import Scrape
from service.pipeline.segment import Segmenter


@dataclass(frozen=True, slots=True)
class Components:
    """What the routes call."""

    segmenter: Segmenter
    models: ModelRegistry
    health: Health
    scrape: Scrape


def install(app: Starlette, components: Components) -> None:
    """Keep the components where `components_of` finds them."""
    app.state.components = components


def components_of(app: Starlette) -> Components:
    """Return the components of a gateway that has started."""
    return cast("Components", app.state.components)
