"""Model cards: read once, with a deadline, and never kept when they are broken."""

import asyncio

import pytest

from tests.support.fakes import FakeTorchServe, running, until


@pytest.mark.parametrize("status", [400, 404, 500, 503, 507])
async def test_a_failing_card_is_a_problem_and_not_kept(status: int) -> None:
    torchserve = FakeTorchServe()
    torchserve.fault = torchserve.own_error(status)
    async with running(torchserve) as gateway:
        answer = await gateway.http.get("/v1/models")
        assert answer.status_code == (503 if status in {404, 503} else 502)
        torchserve.fault = None
        assert (await gateway.http.get("/v1/models")).status_code == 200


@pytest.mark.parametrize("card", [b"{}", b"junk", b""])
async def test_a_card_of_another_release_is_reported_as_such(card: bytes) -> None:
    torchserve = FakeTorchServe()
    torchserve.fault = torchserve.raw_card(card)
    async with running(torchserve) as gateway:
        answer = await gateway.http.get("/v1/models/fcn8s-lite2")
        assert answer.json()["code"] == "worker_failed"
        assert "same release" in answer.json()["detail"]


async def test_a_card_that_does_not_arrive_has_a_deadline() -> None:
    torchserve = FakeTorchServe()
    torchserve.fault = torchserve.hangs
    async with running(torchserve, timeout_ms=50) as gateway:
        answer = await gateway.http.get("/v1/models")
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")


async def test_concurrent_requests_share_one_reading_of_the_card() -> None:
    torchserve = FakeTorchServe()
    torchserve.fault = torchserve.hangs
    async with running(torchserve, ready_window_s=60) as gateway:  # its liveness probe hangs, too
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(gateway.http.get("/v1/models")) for _ in range(8)]
            await until(lambda: torchserve.card_requests)
            torchserve.released.set()
        assert {answer.result().status_code for answer in answers} == {200}
        assert len(torchserve.card_requests) == 1
