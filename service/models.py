"""The models served: their cards, as the worker tells them, kept until an answer has another
digest.
"""

from pydantic import BaseModel, ConfigDict

from service.errors import ModelNotFoundError
from service.render import Legend
from service.upstream import Upstream

DESCRIBE: dict[str, object] = {"output": "describe"}


class ModelCard(BaseModel):
    """What a client needs to know of a model to read its masks."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    architecture: str
    digest: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    working_max_side: int
    max_side_limit: int
    batch_size: int
    device: str
    precision: str
    numerics: str

    @property
    def tag(self) -> str:
        """What `X-Model` says: name@digest."""
        return f"{self.name}@{self.digest}"

    @property
    def legend(self) -> Legend:
        palette = bytes(channel for colour in self.palette for channel in colour)
        return Legend(self.classes, palette)


class Models:
    """The configured models, the first being the default."""

    def __init__(self, names: tuple[str, ...], upstream: Upstream) -> None:
        self.names = names
        self._upstream = upstream
        self._cards: dict[str, ModelCard] = {}

    def resolve(self, name: str | None) -> str:
        """Take the default for None; raises ModelNotFoundError for a name that is not served."""
        if name is None:
            return self.names[0]
        if name not in self.names:
            raise ModelNotFoundError(
                f"no model {name[:64]!a} here; this server has {', '.join(self.names)}"
            )
        return name

    async def card(self, name: str, tag: str | None = None) -> ModelCard:
        """Return the card of a model, asking the worker where it is not known.

        `tag` is what an answer's own header says: a card of another digest is read again.
        """
        card = self._cards.get(name)
        if card is None or (tag is not None and tag != card.tag):
            answer = await self._upstream.send(name, b"", DESCRIBE)
            card = ModelCard.model_validate_json(answer.body)
            self._cards[name] = card
        return card
