"""The models served: their cards, as the worker tells them, kept until an answer has another
digest.
"""

import asyncio
import math
from collections.abc import Callable

from pydantic import ValidationError, computed_field

from handlers.shared.errors import PROBLEM_MEDIA_TYPE, ProblemError, WorkerFailedError, read_problem
from handlers.shared.model_card import Rgb, WorkerModelCard
from handlers.shared.wire import DESCRIBE
from service.backend.client import TorchServeClient
from service.backend.queue import Bounds
from service.errors import DeadlineError, ModelNotFoundError
from service.render import Legend, overlay_palette

# a model whose worker hangs keeps the list of the others no longer
SOON_S = 3.0

# the cards kept of a model that was exchanged: answers of the old one may yet come
MOST_CARDS = 8
# a name has two models while one takes the other's place, and either may tell its card
MOST_ASKS = 3


class ModelCard(WorkerModelCard):
    """What a client needs to know of a model to read its masks."""

    @property
    def slowest_batch_s(self) -> float:
        """Seconds that a batch may well take: `model.yaml` allows for three times as many."""
        return self.response_timeout_s / 3

    @computed_field(description="the label of pixels whose class `classes=` or `min_area=` took")  # type: ignore[prop-decorator]  # pydantic's way to do it
    @property
    def filtered_id(self) -> int:
        return self.legend.filtered

    @computed_field(description="colours of an overlay")  # type: ignore[prop-decorator]
    @property
    def overlay_palette(self) -> tuple[Rgb, ...]:
        flat = overlay_palette(self.legend.palette, self.background_id)
        return tuple(zip(flat[::3], flat[1::3], flat[2::3], strict=True))

    @property
    def legend(self) -> Legend:
        palette = bytes(channel for colour in self.palette for channel in colour)
        return Legend(self.classes, palette, self.background_id)

    def image_limit_s(self, max_image_seconds: float) -> float:
        """Predicted seconds that an image may take: the operator's limit, where there is one, and
        the time that a batch may well take.
        """
        allowed_s = max_image_seconds or self.costs.most_s(self.working_max_side)
        return min(allowed_s, self.slowest_batch_s or math.inf)

    @property
    def dispatch_bounds(self) -> Bounds:
        """How much TorchServe may have of this model at a time: all of it may end up in one batch,
        and takes half of the time after which a worker counts as hanging.
        """
        seconds = self.response_timeout_s / 2 or math.inf
        long_s = self.costs.long_s(self.working_max_side)
        return Bounds.of(self.workers, self.batch_size, seconds, long_s)


class ModelRegistry:
    """The configured models, the first being the default."""

    def __init__(
        self,
        names: tuple[str, ...],
        upstream: TorchServeClient,
        timeout_ms: int,
        on_card: Callable[[ModelCard], None],
    ) -> None:
        """Take the names to serve, and who is to be told of each card that is read."""
        self.names = names
        self._on_card = on_card
        self._upstream = upstream
        self._timeout_ms = timeout_ms
        self._cards: dict[str, ModelCard] = {}
        self._by_tag: dict[str, ModelCard] = {}
        self._asking = {name: asyncio.Lock() for name in names}

    def resolve(self, name: str | None) -> str:
        """Take the default for None; raises ModelNotFoundError for a name that is not served."""
        if name is None:
            return self.names[0]
        if name not in self.names:
            raise ModelNotFoundError(
                f"no model {name[:64]!a} here; this server has {', '.join(self.names)}"
            )
        return name

    def saw_tag(self, name: str, tag: str) -> None:
        """Forget the card of a model whose answers carry another tag: it is read again when it is
        next wanted.
        """
        card = self._cards.get(name)
        if card is not None and card.tag != tag:
            del self._cards[name]

    async def card(self, name: str) -> ModelCard:
        """Return the card of a model, asking the worker (once for all that wait) where it is not
        known; raises ProblemError.
        """
        if card := self._cards.get(name):
            return card
        try:
            async with asyncio.timeout(self._timeout_ms / 1000), self._asking[name]:
                if name not in self._cards:
                    self._learn(name, await self._ask(name))
                return self._cards[name]
        except TimeoutError as error:
            raise DeadlineError(f"no model card within {self._timeout_ms} ms") from error

    async def card_of(self, name: str, tag: str) -> ModelCard | None:
        """Return the card of the model that an answer is from, by its tag; None where that model
        is gone and nobody has asked it. Raises ProblemError.
        """
        for _ in range(MOST_ASKS):
            if tag in self._by_tag:
                break
            self.saw_tag(name, tag)
            await self.card(name)
        return self._by_tag.get(tag)

    def known(self, name: str) -> ModelCard | None:
        """Return the card of a model if the worker has told it."""
        return self._cards.get(name)

    def _learn(self, name: str, card: ModelCard) -> None:
        self._cards[name] = card
        self._by_tag.pop(card.tag, None)
        self._by_tag[card.tag] = card
        while len(self._by_tag) > MOST_CARDS * len(self.names):
            del self._by_tag[next(iter(self._by_tag))]
        self._upstream.allow(name, card.response_timeout_s)
        self._on_card(card)

    async def cards(self) -> list[ModelCard]:
        """Return the cards of all models that tell theirs soon, the default's first; raises
        ProblemError where none does.
        """
        found = await asyncio.gather(*map(self._soon, self.names))
        cards = [each for each in found if isinstance(each, ModelCard)]
        if not cards:
            raise next(each for each in found if isinstance(each, ProblemError))
        return cards

    async def _soon(self, name: str) -> ModelCard | ProblemError:
        try:
            async with asyncio.timeout(SOON_S):
                return await self.card(name)
        except TimeoutError:
            return DeadlineError(f"no model card within {SOON_S:g} s")
        except ProblemError as problem:
            return problem

    async def _ask(self, name: str) -> ModelCard:
        answer = await self._upstream.send(name, b"", DESCRIBE)
        if answer.media_type == PROBLEM_MEDIA_TYPE:
            raise read_problem(answer.body)
        try:
            return ModelCard.model_validate_json(answer.body)
        except ValidationError as error:
            raise WorkerFailedError(
                "the worker's model card is not what a worker of this version sends; "
                "run gateway and worker from the same release"
            ) from error
