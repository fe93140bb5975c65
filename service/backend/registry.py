"""The models served, and their cards, each kept until an answer has another digest.

A model's name or an answer's tag goes in, a card comes out, read from a replica when it is needed.
Each replica has a card of its own, with its own speed; the current card of a model, by which
options are checked and costs are predicted, is that of one of its replicas. Called by
`service.pipeline.options`, `service.pipeline.dispatch` and `service.backend.health`; `/v1/models`
returns the cards.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from pydantic import ValidationError

from handlers.shared.errors import PROBLEM_MEDIA_TYPE, ProblemError, WorkerFailedError, read_problem
from handlers.shared.wire import DESCRIBE
from service.backend.model_card import ModelCard
from service.backend.pins import Pins
from service.backend.replicas.replica import ModelReplica
from service.backend.replicas.replica_set import ReplicaSet
from service.errors import DeadlineError, ModelNotFoundError, NotReadyError

# for the list of all models, which does not wait longer for one whose worker hangs
SOON_S = 3.0

# the cards kept of each name: answers of an exchanged model may still arrive
MAX_CARDS = 8
# while one model replaces another under the same name, either may answer with its card
MAX_READS = 3

logger = logging.getLogger(__name__)


class ModelRegistry:
    """The configured models, the first being the default."""

    def __init__(
        self,
        names: tuple[str, ...],
        replicas: ReplicaSet,
        timeout_ms: int,
        attempt_timeout_s: float,
        on_card: Callable[[ModelCard], None],
        pins: Pins = Pins(),  # noqa: B008 - frozen
    ) -> None:
        """Take the names to serve, how long a card may take altogether and an attempt at least, a
        function that is called with each current card, and the digests to keep to.
        """
        self.names = names
        self._replicas = replicas
        self._timeout_ms = timeout_ms
        self._attempt_timeout_s = attempt_timeout_s
        self._on_card = on_card
        self._pins = pins
        self._cards: dict[str, ModelCard] = {}  # current, by name
        self._by_tag: dict[str, ModelCard] = {}  # exchanged ones, too
        self._locks = {name: asyncio.Lock() for name in names}
        replicas.on_exchange.append(self._choose_all)

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

    def attempt_timeout_s(self, replica: ModelReplica) -> float:
        """Return how long an attempt may take: a model that needs longer than the setting for a
        batch is slow, and not lost.
        """
        return max(self._attempt_timeout_s, replica.batch_timeout_s)

    def drop_if_exchanged(self, replica: ModelReplica, tag: str) -> None:
        """Drop the card of a replica whose answers have another tag; it is read again when it is
        next needed.
        """
        if replica.card is not None and replica.card.tag != tag:
            replica.exchange(None)
            self._choose(replica.model)

    async def card(self, name: str) -> ModelCard:
        """Return the card of a model, which is read from a replica (once for all callers) unless it
        is known; raises ProblemError.
        """
        if card := self._cards.get(name):
            return card
        try:
            async with asyncio.timeout(self._timeout_ms / 1000), self._locks[name]:
                if name not in self._cards:
                    await self._read_any(name)
                return self._cards[name]
        except TimeoutError as error:
            raise DeadlineError(f"no model card within {self._timeout_ms} ms") from error

    async def card_at(self, replica: ModelReplica) -> ModelCard:
        """Return the card of one replica; raises ProblemError."""
        async with replica.reading:
            return replica.card or await self._read(replica)

    async def card_of(self, name: str, tag: str) -> ModelCard | None:
        """Return the card with the tag of an answer; None where that model is gone and its card was
        never read. Raises ProblemError.
        """
        for _ in range(MAX_READS):
            if tag in self._by_tag:
                break
            for replica in self._replicas.of[name].all:
                if replica.latest_tag == tag:
                    self.drop_if_exchanged(replica, tag)
                    await self.card_at(replica)
        return self._by_tag.get(tag)

    async def cards(self) -> list[ModelCard]:
        """Return the cards that can be read soon, the default's first, and of each model its
        current one first; raises ProblemError where there is none.
        """
        found = await asyncio.gather(*map(self._card_soon, self.names))
        cards = [each for each in found if isinstance(each, ModelCard)]
        if not cards:
            raise next(each for each in found if isinstance(each, ProblemError))
        return [each for card in cards for each in (card, *self._others(card))]

    def _others(self, current: ModelCard) -> Sequence[ModelCard]:
        """Return the cards of the replicas that answer with another digest, as in a rollout."""
        replicas = self._replicas.of[current.name].ready
        by_tag = {each.card.tag: each.card for each in replicas if each.card}
        return [card for tag, card in by_tag.items() if tag != current.tag]

    async def _card_soon(self, name: str) -> ModelCard | ProblemError:
        try:
            async with asyncio.timeout(SOON_S):
                return await self.card(name)
        except TimeoutError:
            return DeadlineError(f"no model card within {SOON_S:g} s")
        except ProblemError as problem:
            return problem

    async def _read_any(self, name: str) -> None:
        """Read the card of whichever replica answers first; raises the problem of the last."""
        problem: ProblemError = NotReadyError("no worker is known; try again shortly")
        replicas = self._replicas.of[name]
        reads = [asyncio.create_task(self.card_at(each)) for each in replicas.ready or replicas.all]
        try:
            for read in asyncio.as_completed(reads):
                try:
                    await read
                except ProblemError as error:
                    problem = error
                if name in self._cards:
                    return
        finally:
            for each in reads:
                each.cancel()
            await asyncio.gather(*reads, return_exceptions=True)
        raise problem

    async def _read(self, replica: ModelReplica) -> ModelCard:
        timeout_s = self.attempt_timeout_s(replica)
        answer = await replica.client.send(replica.model, b"", DESCRIBE, timeout_s)
        replica.show_draining(is_draining=answer.is_draining)
        if answer.media_type == PROBLEM_MEDIA_TYPE:
            raise read_problem(answer.body)
        try:
            card = ModelCard.model_validate_json(answer.body)
        except ValidationError as error:
            raise WorkerFailedError(
                "the worker's model card is not what a worker of this version sends; "
                "run gateway and worker from the same release"
            ) from error
        self._keep(replica, card)
        return card

    def _keep(self, replica: ModelReplica, card: ModelCard) -> None:
        self._by_tag.pop(card.tag, None)
        self._by_tag[card.tag] = card
        while len(self._by_tag) > MAX_CARDS * len(self.names):
            del self._by_tag[next(iter(self._by_tag))]
        self._exclude(replica, card)
        replica.exchange(card)
        self._choose(replica.model)

    def _exclude(self, replica: ModelReplica, card: ModelCard) -> None:
        """Keep images from a replica whose digest is not the pinned one."""
        is_excluded = not self._pins.allow(card)
        if is_excluded and not replica.is_excluded:
            logger.warning(
                "replica %s: gets no images, since FCNSERVE_PIN_MODEL names another digest than %s",
                replica.name,
                card.tag,
            )
        replica.is_excluded = is_excluded

    def _choose_all(self) -> None:
        for name in self.names:
            self._choose(name)

    def _choose(self, name: str) -> None:
        """Choose a model's current card: it stays, as long as its replica has it."""
        replicas = self._replicas.of[name].all
        cards = [each.card for each in replicas if each.card and not each.is_excluded]
        current = self._cards.get(name)
        if any(card is current for card in cards):
            return
        self._cards.pop(name, None)
        if cards:
            self._cards[name] = cards[0]
            self._on_card(cards[0])
