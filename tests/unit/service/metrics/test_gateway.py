"""Each metric counts what it names, and nothing else."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
from aiohttp import web

from handlers.shared.errors import BrokenImageError
from handlers.shared.photo import read_header
from service.render import Output
from tests.support.clock import Clock
from tests.support.fakes import (
    CAT,
    CLASSES,
    FAKE_PIXELS_PER_S,
    FakeTorchServe,
    Gateway,
    class_pixels_of,
    labels_of,
    running,
    until,
)
from tests.support.photos import save

REJECTIONS = "fcnserve_rejections_total"
PREDICTED = "fcnserve_predicted_pixels_total"
NEW = "fedcba9876543210"
OTHER = save(np.zeros((20, 40, 3), np.uint8), "PNG")


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with running() as gateway:
        await gateway.ready()
        yield gateway


async def send_batch(gateway: Gateway, *photos: bytes) -> int:
    files = [("images", (f"{index}", photo)) for index, photo in enumerate(photos)]
    return (await gateway.http.post("/v1/segment/batch", files=files)).status_code


def rejections(gateway: Gateway) -> dict[str, float]:
    """The rejections so far, by reason."""
    return {
        sample.labels["reason"]: sample.value
        for metric in gateway.registry.collect()
        for sample in metric.samples
        if sample.name == REJECTIONS and sample.value
    }


def models_shown(gateway: Gateway) -> list[dict[str, str]]:
    return [
        sample.labels
        for metric in gateway.registry.collect()
        for sample in metric.samples
        if sample.name == "fcnserve_model_info" and sample.value == 1
    ]


@pytest.mark.parametrize("output", Output)
async def test_predicted_pixels_are_the_models_own_whatever_the_output(
    gateway: Gateway, output: Output
) -> None:
    await gateway.segment(CAT, output=output.value, classes="dog")
    for number, pixels in class_pixels_of(labels_of(CAT)).items():
        assert gateway.value(PREDICTED, **{"class": CLASSES[number]}) == pixels
    assert gateway.value(PREDICTED, **{"class": "sheep"}) == 0


async def test_liveness_probes_count_as_no_traffic(gateway: Gateway) -> None:
    assert gateway.torchserve.liveness_probes
    for name in ("image_pixels_count", "batch_images_count", "group_fill_ratio_count"):
        assert gateway.value(f"fcnserve_{name}") == 0
    assert gateway.value(PREDICTED, **{"class": "background"}) == 0


async def test_photos_are_counted_by_their_own_size_once_admitted(gateway: Gateway) -> None:
    await gateway.segment(CAT, max_side=64)
    await send_batch(gateway, OTHER, b"no image", OTHER)
    header = read_header(CAT)
    assert gateway.value("fcnserve_image_pixels_count") == 3
    assert gateway.value("fcnserve_image_pixels_sum") == header.height * header.width + 2 * 800


async def test_a_forward_passs_fill_ratio_is_its_share_of_photo_pixels(gateway: Gateway) -> None:
    await gateway.segment(CAT)
    valid = gateway.value("fcnserve_valid_pixels_total")
    padded = gateway.value("fcnserve_padded_pixels_total")
    assert gateway.value("fcnserve_group_fill_ratio_sum") == valid / padded < 1


async def test_an_answered_image_is_no_rejection(gateway: Gateway) -> None:
    await gateway.segment()
    await send_batch(gateway, CAT, OTHER)
    await gateway.http.get("/nowhere")
    await gateway.http.get("/v1/segment")
    await gateway.http.get("/v1/models/none")
    assert rejections(gateway) == {}


async def test_each_image_of_a_batch_that_gets_a_problem_is_one_rejection(gateway: Gateway) -> None:
    await gateway.segment(b"no image")
    await send_batch(gateway, CAT, b"no image", b"none either", b"", OTHER)
    assert rejections(gateway) == {"broken_image": 3, "empty_body": 1}


async def test_a_rejected_batch_counts_its_known_images(
    gateway: Gateway,
) -> None:
    files = [("images", ("a", CAT)), ("images", ("b", CAT))]
    await gateway.http.post("/v1/segment/batch?classes=unicorn", files=files)
    assert rejections(gateway) == {"invalid_option": 2}
    await send_batch(gateway, *[OTHER] * 33)
    assert rejections(gateway) == {"invalid_option": 2, "too_many_images": 1}


async def test_counters_are_zero_before_their_first_event(gateway: Gateway) -> None:
    """Prometheus computes no rate from a counter that appears with its first event."""
    text = (await gateway.http.get("/metrics")).text.splitlines()
    assert f'{REJECTIONS}{{reason="worker_crashed"}} 0.0' in text
    model = 'model="fcn8s-lite2"'
    assert f'{PREDICTED}{{class="cat",{model}}} 0.0' in text
    assert f'fcnserve_upstream_attempts_total{{{model},outcome="timed_out"}} 0.0' in text
    assert f"fcnserve_batch_images_count{{{model}}} 0.0" in text


async def test_a_broken_image_found_by_the_worker_is_a_rejection(gateway: Gateway) -> None:
    gateway.torchserve.fault = gateway.torchserve.image_problem(BrokenImageError("cut short"))
    await gateway.segment()
    assert rejections(gateway) == {"broken_image": 1}


async def test_a_failure_of_the_gateway_is_a_rejection(gateway: Gateway) -> None:
    gateway.torchserve.fault = gateway.torchserve.raw_mask(b"junk")
    await gateway.segment(output="rle")
    assert rejections(gateway) == {"internal_error": 1}


async def test_disconnected_clients_and_busy_rejections_are_counted_separately() -> None:
    async with running(max_in_flight=1) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.hangs
        disconnecting = asyncio.create_task(gateway.segment())
        await until(lambda: gateway.torchserve.photos)
        assert (await gateway.segment()).status_code == 429
        disconnecting.cancel()
        await until(lambda: len(rejections(gateway)) == 2)
        assert rejections(gateway) == {"busy": 1, "client_gone": 1}


async def test_the_limit_of_images_in_flight_is_a_metric() -> None:
    async with running(max_in_flight=7) as gateway:
        assert gateway.value("fcnserve_in_flight_limit") == 7


async def test_images_that_wait_or_are_handed_over_count_with_their_seconds() -> None:
    torchserve = FakeTorchServe(batch_size=1)
    async with running(torchserve, max_in_flight=3) as gateway:
        await gateway.ready()
        torchserve.fault = torchserve.hangs
        answers = [asyncio.create_task(gateway.segment(OTHER)) for _ in range(3)]
        await until(lambda: gateway.value("fcnserve_images_handed_over") == 2)
        await until(lambda: gateway.value("fcnserve_images_waiting") == 1)
        assert gateway.value("fcnserve_seconds_waiting") == 32 * 64 / FAKE_PIXELS_PER_S
        assert gateway.value("fcnserve_seconds_handed_over") == 2 * 32 * 64 / FAKE_PIXELS_PER_S
        assert (await gateway.segment(OTHER)).status_code == 429
        torchserve.released.set()
        assert {answer.status_code for answer in await asyncio.gather(*answers)} == {200}


async def test_a_served_model_is_shown_with_its_card(gateway: Gateway) -> None:
    (shown,) = models_shown(gateway)
    card = gateway.torchserve.card("fcn8s-lite2")
    labels = ("name", "version", "digest", "architecture", "precision", "device")
    assert shown == {label: card[label] for label in labels}


async def test_an_exchanged_model_replaces_the_one_before(clock: Clock) -> None:
    async with running(ready_window_s=1) as gateway:
        await gateway.ready()
        gateway.torchserve.digest = NEW
        clock.advance(0.5)  # time for a liveness probe
        await until(lambda: [shown["digest"] for shown in models_shown(gateway)] == [NEW])


async def test_pixels_of_a_model_just_exchanged_have_its_own_class_names(clock: Clock) -> None:
    """They arrive with the first answer, before the new card has been read.

    The clock stands still: no liveness probe is answered before the photo.
    """
    torchserve = FakeTorchServe()

    async def renamed(request: web.Request) -> web.StreamResponse:
        torchserve.fault = None
        torchserve.digest = NEW
        return await torchserve.answered(request)

    async with running(torchserve, ready_window_s=1) as gateway:
        await gateway.ready()
        torchserve.fault = renamed
        torchserve.classes = [f"new {name}" for name in CLASSES]
        await gateway.segment(CAT)
        clock.advance(0.5)  # time for a liveness probe, which reads the card
        cats = class_pixels_of(labels_of(CAT))[CLASSES.index("cat")]
        await until(lambda: gateway.value(PREDICTED, **{"class": "new cat"}) == cats)
        assert gateway.value(PREDICTED, **{"class": "cat"}) == 0


async def test_the_release_that_runs_is_shown(gateway: Gateway) -> None:
    assert gateway.value("fcnserve_build_info", version="0.1.0") == 1
