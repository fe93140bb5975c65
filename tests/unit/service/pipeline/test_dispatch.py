"""A worker that is slow, gone or broken: each request has an end, and gives its permit back."""

import asyncio
import time

import pytest

from tests.support.fakes import CAT, FakeTorchServe, running, until

FAULTS = {
    "503": lambda torchserve: torchserve.own_error(503),
    "507": lambda torchserve: torchserve.own_error(507),
    "hangs-up": lambda torchserve: torchserve.hangs_up,
    "breaks-off": lambda torchserve: torchserve.breaks_off,
    "hangs": lambda torchserve: torchserve.hangs,
    "junk": lambda torchserve: torchserve.raw_mask(b"junk"),
    "other-release": lambda torchserve: torchserve.raw_report(b"[1]"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_after_any_fault_the_permit_is_free_and_the_next_photo_is_answered(name: str) -> None:
    async with running(FakeTorchServe(workers=2), max_in_flight=1) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = FAULTS[name](gateway.torchserve)
        for _ in range(3):
            failed = await gateway.segment(output="labels", timeout_ms=200)
            assert failed.status_code in {500, 502, 503, 504}
            assert gateway.in_flight == 0
        gateway.torchserve.fault = None
        assert (await gateway.segment(output="labels")).status_code == 200


async def test_a_slow_model_has_its_own_time_limit() -> None:
    torchserve = FakeTorchServe(response_timeout_s=60)
    async with running(torchserve, attempt_timeout_s=0.2) as gateway:
        await gateway.ready()
        torchserve.fault = torchserve.hangs
        sent = time.monotonic()
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(gateway.segment())
            await until(lambda: time.monotonic() - sent > 3 * 0.2)
            torchserve.released.set()
        assert answer.result().status_code == 200
        assert len(torchserve.photos) == 1


async def test_the_default_deadline_is_a_setting() -> None:
    async with running(timeout_ms=60) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.hangs
        assert "within 60 ms" in (await gateway.segment()).json()["detail"]


async def test_a_hundred_concurrent_requests_get_their_own_answers() -> None:
    async with running(max_in_flight=100) as gateway:
        await gateway.ready()
        tails = [str(number).encode() for number in range(100)]
        answers = await asyncio.gather(
            *(
                gateway.segment(CAT + tail, headers={"X-Request-ID": tail.decode()})
                for tail in tails
            )
        )
        assert [answer.headers["x-request-id"].encode() for answer in answers] == tails
        assert {answer.status_code for answer in answers} == {200}
        assert {call.body for call in gateway.torchserve.photos} == {CAT + tail for tail in tails}
