"""While one model replaces another, an answer has the legend of the model that made it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from handlers.job import Answer
from service.pipeline.dispatch import MAX_MODELS
from tests.support.fakes import CLASSES, Call, FakeTorchServe, Gateway, running

OLD, NEW = "0" * 16, "f" * 16
# cat, 8 of the fake's label map, is another class in the new model, and dog, 12, another still
SHUFFLED = [f"{name}2" if name != "cat" else "dog" for name in CLASSES]


@dataclass
class Exchange(FakeTorchServe):
    """Two models under one name; `photo_of` and `card_of` choose which of them answers."""

    photo_of: Callable[[int], str] = lambda _: NEW
    card_of: Callable[[int], str] = lambda _: NEW

    def answer(self, call: Call) -> Answer:
        digest = self.photo_of(len(self.photos))
        if call.is_card_request:
            digest = self.card_of(len(self.card_requests))
        elif call.is_liveness_probe:
            digest = OLD
        self.digest = digest
        self.classes = SHUFFLED if digest == NEW else CLASSES
        return super().answer(call)


@asynccontextmanager
async def exchanged(**answers: Callable[[int], str]) -> AsyncIterator[Gateway]:
    """A gateway that has read the old model's card."""
    async with running(Exchange(card_of=lambda _: OLD)) as gateway:
        await gateway.ready()
        for name, answer in answers.items():
            setattr(gateway.torchserve, name, answer)
        yield gateway


async def names(gateway: Gateway, **options: Any) -> tuple[str, set[str]]:
    answer = await gateway.segment(output="rle", **options)
    assert answer.status_code == 200, answer.text
    found = {segment["class_name"] for segment in answer.json()["segments"]}
    return answer.headers["x-model"].partition("@")[2], found


async def test_the_new_models_answer_has_the_new_names() -> None:
    async with exchanged(card_of=lambda _: NEW) as gateway:
        assert await names(gateway) == (NEW, {"dog", "dog2"})


async def test_a_late_answer_of_the_old_model_has_the_old_names() -> None:
    async with exchanged(card_of=lambda _: NEW) as gateway:
        assert (await names(gateway))[0] == NEW
        gateway.torchserve.photo_of = lambda _: OLD  # type: ignore[attr-defined]  # an Exchange
        assert await names(gateway) == (OLD, {"cat", "dog"})


async def test_each_answer_has_the_names_of_its_own_card_while_both_models_answer_in_turn() -> None:
    async with exchanged(
        photo_of=lambda count: (OLD, NEW)[count % 2], card_of=lambda count: (OLD, NEW)[count % 2]
    ) as gateway:
        for _ in range(6):
            model, found = await names(gateway)
            assert found == ({"cat", "dog"} if model == OLD else {"dog", "dog2"})


async def test_an_image_is_segmented_again_if_its_model_is_gone_before_its_card_was_read() -> None:
    async with exchanged(
        photo_of=lambda count: NEW if count == 1 else OLD, card_of=lambda _: OLD
    ) as gateway:
        assert await names(gateway) == (OLD, {"cat", "dog"})
        assert len(gateway.torchserve.photos) == 2


async def test_repeated_exchanges_end_in_not_ready_with_retry_after() -> None:
    async with exchanged(card_of=lambda _: OLD) as gateway:
        answer = await gateway.segment(output="summary")
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
        assert answer.headers["retry-after"] == "1"
        assert len(gateway.torchserve.photos) == MAX_MODELS


async def test_classes_are_those_of_the_model_that_answers() -> None:
    async with exchanged(card_of=lambda _: NEW) as gateway:
        assert await names(gateway, classes="dog") == (NEW, {"dog"})
        answer = await gateway.segment(output="rle", classes="cat")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_option")


@pytest.mark.parametrize("output", ["mask", "confidence"])
async def test_an_output_without_legend_needs_no_card(output: str) -> None:
    async with exchanged(card_of=lambda _: OLD) as gateway:
        answer = await gateway.segment(output=output)
        assert (answer.status_code, answer.headers["x-model"][-16:]) == (200, NEW)


@pytest.mark.parametrize("output", ["mask", "overlay"])
async def test_a_request_fetches_no_card_that_is_known(
    output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running() as gateway:
        await gateway.ready()
        models, fetched = gateway.components.models, []
        for name in ("card", "card_of"):
            fetch = getattr(models, name)

            async def counted(*arguments: str, fetch: Any = fetch) -> Any:
                fetched.append(arguments)
                return await fetch(*arguments)

            monkeypatch.setattr(models, name, counted)
        assert (await gateway.segment(output=output)).status_code == 200
        assert fetched == []
