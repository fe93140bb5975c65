"""A gateway with several TorchServes, which are lost, slow, new, exchanged, or about to stop."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from service.backend.replicas import discovery
from tests.support.fakes import CAT, FakeTorchServe, Gateway, gateway_at, listening, until

PHOTOS = 24
MODEL = "fcn8s-lite2"


@asynccontextmanager
async def running_with(
    torchserves: Sequence[FakeTorchServe], **settings: Any
) -> AsyncIterator[Gateway]:
    """Run a gateway with a replica for each fake; yields it once all answer."""
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(listening(each)) for each in torchserves]
        settings = {"ready_window_s": 0.5, "torchserve_url": ",".join(urls), **settings}
        gateway = await stack.enter_async_context(gateway_at(torchserves[0], **settings))
        await until(lambda: gateway.value("fcnserve_replica_ready") == len(torchserves))
        for each in torchserves:
            stack.callback(each.released.set)
        yield gateway


async def send(gateway: Gateway, photos: int = PHOTOS) -> list[tuple[int, str]]:
    """Send photos at a time; return the statuses and digests of the answers."""
    answers = await asyncio.gather(*(gateway.segment(CAT + bytes([n])) for n in range(photos)))
    return [(answer.status_code, answer.headers.get("x-model", "")) for answer in answers]


def photos_of(*torchserves: FakeTorchServe) -> list[int]:
    return [len(each.photos) for each in torchserves]


async def test_photos_are_spread_over_replicas_that_are_alike() -> None:
    torchserves = [FakeTorchServe() for _ in range(3)]
    async with running_with(torchserves) as gateway:
        assert Counter(await send(gateway))[200, f"{MODEL}@{torchserves[0].digest}"] == PHOTOS
        assert min(photos_of(*torchserves)) >= 4
        assert sum(photos_of(*torchserves)) == PHOTOS
        answered = gateway.value("fcnserve_replica_images_total", outcome="answered")
        assert answered == PHOTOS


async def test_admission_follows_the_number_of_replicas() -> None:
    async with running_with([FakeTorchServe(), FakeTorchServe()], max_in_flight=5) as gateway:
        assert gateway.value("fcnserve_in_flight_limit") == 10


@pytest.mark.parametrize("fault", ["hangs_up", "breaks_off", "own_error"])
async def test_what_a_replica_loses_another_answers_and_it_gets_no_more(fault: str) -> None:
    lost, other = FakeTorchServe(), FakeTorchServe()
    async with running_with([lost, other]) as gateway:
        lost.fault = lost.own_error(503) if fault == "own_error" else getattr(lost, fault)
        assert {status for status, _ in await send(gateway)} == {200}
        assert len(other.photos) == PHOTOS
        seen = len(lost.photos)
        assert {status for status, _ in await send(gateway)} == {200}
        assert len(lost.photos) == seen
        lost.fault = None
        await until(lambda: gateway.value("fcnserve_replica_ready") == 2)
        await send(gateway)
        assert len(lost.photos) > seen


async def test_a_replica_that_hangs_gets_no_more_and_its_photos_are_answered_elsewhere() -> None:
    hanging, other = FakeTorchServe(), FakeTorchServe()
    async with running_with([hanging, other], attempt_timeout_s=0.4) as gateway:
        hanging.fault = hanging.hangs
        assert {status for status, _ in await send(gateway)} == {200}
        seen = len(hanging.photos)
        assert {status for status, _ in await send(gateway)} == {200}
        assert len(hanging.photos) == seen


async def test_a_replica_that_drains_finishes_what_it_has_and_gets_no_more() -> None:
    stopping, other = FakeTorchServe(), FakeTorchServe()
    async with running_with([stopping, other]) as gateway:
        stopping.is_draining = True
        await until(lambda: gateway.value("fcnserve_replica_draining") == 1)
        seen = len(stopping.photos)
        assert {status for status, _ in await send(gateway)} == {200}
        assert photos_of(stopping, other) == [seen, PHOTOS]
        stopping.is_draining = False  # its successor answers at the same address
        await until(lambda: gateway.value("fcnserve_replica_ready") == 2)


async def test_each_answer_names_the_digest_that_made_it_and_all_are_listed() -> None:
    old, new = FakeTorchServe(digest="0" * 16), FakeTorchServe(digest="1" * 16)
    async with running_with([old, new]) as gateway:
        found = Counter(await send(gateway))
        for torchserve in (old, new):
            assert found[200, f"{MODEL}@{torchserve.digest}"] == len(torchserve.photos) > 0
        cards = (await gateway.http.get("/v1/models")).json()
        assert sorted(card["digest"] for card in cards) == [old.digest, new.digest]


async def test_a_pinned_digest_keeps_images_from_other_replicas() -> None:
    old, new = FakeTorchServe(digest="0" * 16), FakeTorchServe(digest="1" * 16)
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(listening(each)) for each in (old, new)]
        settings = {"torchserve_url": ",".join(urls), "pin_model": new.digest}
        gateway = await stack.enter_async_context(gateway_at(old, **settings))
        await until(lambda: gateway.value("fcnserve_replica_excluded") == 1)
        await until(lambda: gateway.value("fcnserve_replica_ready") == 1)
        assert set(await send(gateway)) == {(200, f"{MODEL}@{new.digest}")}
        assert photos_of(old, new) == [0, PHOTOS]


async def test_the_addresses_of_a_name_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both fakes are at one port of two addresses, as containers are."""
    named = ["127.0.0.1"]

    async def resolve(_host: str, _port: int) -> list[str]:
        if not named:
            raise OSError("no such name")
        return list(named)

    monkeypatch.setattr(discovery, "RESOLVE_S", 0.02)
    monkeypatch.setattr(discovery, "resolve", resolve)
    torchserve = FakeTorchServe()
    async with listening(torchserve, host="0.0.0.0") as url:  # noqa: S104 - all of 127.0.0.0/8
        port = url.rpartition(":")[2]
        settings = {"ready_window_s": 0.5, "torchserve_url": f"http://worker.test:{port}"}
        async with gateway_at(torchserve, **settings) as gateway:
            await until(lambda: gateway.value("fcnserve_replica_ready") == 1)
            named.append("127.0.0.2")
            await until(lambda: gateway.value("fcnserve_replica_ready") == 2)
            assert {status for status, _ in await send(gateway)} == {200}
            hosts = {call.headers["Host"] for call in torchserve.photos}
            assert hosts == {f"worker.test:{port}"}
            for left in (["127.0.0.2"], []):  # a name that is not resolved changes nothing
                named[:] = left
                await until(lambda: gateway.value("fcnserve_replica_ready") == 1)
            (name,) = {each.name for each in gateway.components.health.replicas.all}
            assert name == f"127.0.0.2:{port}"
            assert {status for status, _ in await send(gateway)} == {200}


async def test_without_any_address_a_photo_is_not_ready_and_later_answered() -> None:
    async with gateway_at(FakeTorchServe(), torchserve_url="http://nowhere.invalid") as gateway:
        answer = await gateway.segment()
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")


async def test_a_photo_that_crashes_two_replicas_stays_at_the_second() -> None:
    torchserves = [FakeTorchServe() for _ in range(3)]
    async with running_with(torchserves) as gateway:
        for each in torchserves:
            each.fault = each.own_error(507)
        assert (await gateway.segment()).status_code == 502
        assert sorted(photos_of(*torchserves)) == [0, 1, 4]
