"""The models served, and their cards, each kept until an answer has another digest.

A model's name or an answer's tag goes in, a card comes out, read from the worker when it is needed.
Called by `service.pipeline.options`, `service.pipeline.dispatch` and `service.backend.health`;
`/v1/models` returns the cards.
"""

import asyncio
from collections.abc import Callable

from pydantic import ValidationError

from handlers.shared.errors import PROBLEM_MEDIA_TYPE, ProblemError, WorkerFailedError, read_problem
from handlers.shared.wire import DESCRIBE
from service.backend.client import TorchServeClient
from service.backend.model_card import ModelCard
from service.errors import DeadlineError, ModelNotFoundError

# for the list of all models, which does not wait longer for one whose worker hangs
SOON_S = 3.0

# the cards kept of each name: answers of an exchanged model may still arrive
MAX_CARDS = 8
# while one model replaces another under the same name, either may answer with its card
MAX_READS = 3


class ModelRegistry:
    """The configured models, the first being the default."""

    def __init__(
        self,
        names: tuple[str, ...],
        client: TorchServeClient,
        timeout_ms: int,
        attempt_timeout_s: float,
        on_card: Callable[[ModelCard], None],
    ) -> None:
        """Take the names to serve, how long a card may take altogether and an attempt at least, and
        a function that is called with each card that is read.
        """
        self.names = names
        self._client = client
        self._timeout_ms = timeout_ms
        self._attempt_timeout_s = attempt_timeout_s
        self._on_card = on_card
        self._cards: dict[str, ModelCard] = {}  # current, by name
        self._by_tag: dict[str, ModelCard] = {}  # exchanged ones, too
        self._batch_timeout_s: dict[str, float] = {}
        self._locks = {name: asyncio.Lock() for name in names}

    def resolve(self, name: str | None) -> str:
        """Return the default for None; raises ModelNotFoundError for a name that is not served."""
        if name is None:
            return self.names[0]
        if name not in self.names:
            raise ModelNotFoundError(
                f"no model {name[:64]!a} here; this server has {', '.join(self.names)}"
            )
        return name

    def known(self, name: str) -> ModelCard | None:
        """Return the current card of a model, if it has been read."""
        return self._cards.get(name)

    def attempt_timeout_s(self, name: str) -> float:
        """Return how long an attempt may take: a model that needs longer than the setting for a
        batch is slow, and not lost.
        """
        return max(self._attempt_timeout_s, self._batch_timeout_s.get(name, 0.0))

    def drop_if_exchanged(self, name: str, tag: str) -> None:
        """Drop the card of a model whose answers have another tag; it is read again when it is next
        needed.
        """
        card = self._cards.get(name)
        if card is not None and card.tag != tag:
            del self._cards[name]

    async def card(self, name: str) -> ModelCard:
        """Return the card of a model, which is read from the worker (once for all callers) unless
        it is known; raises ProblemError.
        """
        if card := self._cards.get(name):
            return card
        try:
            async with asyncio.timeout(self._timeout_ms / 1000), self._locks[name]:
                if name not in self._cards:
                    self._keep(name, await self._read(name))
                return self._cards[name]
        except TimeoutError as error:
            raise DeadlineError(f"no model card within {self._timeout_ms} ms") from error

    async def card_of(self, name: str, tag: str) -> ModelCard | None:
        """Return the card with the tag of an answer; None where that model is gone and its card was
        never read. Raises ProblemError.
        """
        for _ in range(MAX_READS):
            if tag in self._by_tag:
                break
            self.drop_if_exchanged(name, tag)
            await self.card(name)
        return self._by_tag.get(tag)

    async def cards(self) -> list[ModelCard]:
        """Return the cards that can be read soon, the default's first; raises ProblemError where
        there is none.
        """
        found = await asyncio.gather(*map(self._card_soon, self.names))
        cards = [each for each in found if isinstance(each, ModelCard)]
        if not cards:
            raise next(each for each in found if isinstance(each, ProblemError))
        return cards

    async def _card_soon(self, name: str) -> ModelCard | ProblemError:
        try:
            async with asyncio.timeout(SOON_S):
                return await self.card(name)
        except TimeoutError:
            return DeadlineError(f"no model card within {SOON_S:g} s")
        except ProblemError as problem:
            return problem

    async def _read(self, name: str) -> ModelCard:
        answer = await self._client.send(name, b"", DESCRIBE, self.attempt_timeout_s(name))
        if answer.media_type == PROBLEM_MEDIA_TYPE:
            raise read_problem(answer.body)
        try:
            return ModelCard.model_validate_json(answer.body)
        except ValidationError as error:
            raise WorkerFailedError(
                "the worker's model card is not what a worker of this version sends; "
                "run gateway and worker from the same release"
            ) from error

    def _keep(self, name: str, card: ModelCard) -> None:
        self._cards[name] = card
        self._by_tag.pop(card.tag, None)
        self._by_tag[card.tag] = card
        while len(self._by_tag) > MAX_CARDS * len(self.names):
            del self._by_tag[next(iter(self._by_tag))]
        self._batch_timeout_s[name] = card.response_timeout_s
        self._on_card(card)
