"""An image's cost is predicted from its header, and one that costs too much is refused."""

import asyncio

import pytest

from handlers.model_config import load_config
from handlers.runtime.cost_rates import decode_rate, decode_s, measure_rates, noise, smooth, write
from handlers.runtime.network import Network
from handlers.runtime.network_cpu import CpuNetwork
from handlers.runtime.pass_costs import PassCosts
from handlers.shared import photo
from handlers.shared.cost import CostRates, DecodeRate, Work, check_cost
from handlers.shared.errors import ImageTooCostlyError
from tests.support.bitmaps import RLE8, bmp
from tests.support.fakes import CAT, FAKE_COSTS, FAKE_PIXELS_PER_S, FakeTorchServe, running, until
from tests.support.photos import save
from tests.support.worker import MODEL, cpu
from tests.support.worker import noise as noise_of

ALL_FORMATS = sorted(photo.DEFAULT_FORMATS | photo.OPTIONAL_FORMATS)
RATES = CostRates(
    decode={"jpeg": DecodeRate(s_per_megapixel=0.25, s_per_megabyte=0.5)},
    pass_s=0.125,
    forward_s_per_megapixel=2,
    labels_s_per_megapixel=0.5,
    confidence_s_per_megapixel=1,
)
MILLION = 1_000_000


def work(**changes: object) -> Work:
    usual = {"pixels": MILLION, "scans": 1, "body_bytes": 0, "frame_pixels": 0, "confidence": False}
    return Work(format="jpeg", **{**usual, **changes})  # type: ignore[arg-type]  # of one type each


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        pytest.param({}, 0.25 + 0.125 + 0.5, id="pixels"),
        pytest.param({"body_bytes": MILLION}, 0.875 + 0.5, id="bytes"),
        pytest.param({"frame_pixels": MILLION}, 0.875 + 2, id="frame-pixels"),
        pytest.param({"confidence": True}, 0.875 + 1, id="confidence"),
        pytest.param({"scans": 5}, 0.875 + 4 * 0.1, id="scans"),
        pytest.param({"pixels": 32 * MILLION}, 32 * 0.75 + 0.125, id="large"),
    ],
)
def test_seconds_are_those_of_pixels_bytes_scans_and_outputs(
    changes: dict[str, object], seconds: float
) -> None:
    assert RATES.predicted_s(work(**changes)) == pytest.approx(seconds, abs=1 / 4096)


def test_a_coding_with_more_work_for_each_pixel_costs_more() -> None:
    codes = bmp((9, 100), 8, b"\x64\1" * 9 + bytes((0, 1)), coding=RLE8)
    header = photo.read_header(codes)
    assert header.work > 1
    found = Work.of(header, len(codes), 0, confidence=False)
    assert found.per_pixel == header.work
    assert RATES.predicted_s(work(per_pixel=3.0)) == RATES.predicted_s(work()) + 2 * 0.25


def test_predicted_seconds_that_are_added_and_subtracted_sum_to_zero() -> None:
    costs = [RATES.predicted_s(work(pixels=pixels)) for pixels in range(1, 3000, 7)]
    held = 0.0
    for cost in costs:
        held += cost
    for cost in reversed(costs):
        held -= cost
    assert held == 0


def test_a_costly_image_is_refused_with_advice() -> None:
    assert check_cost(work(), RATES, 0.875) == pytest.approx(0.875)
    with pytest.raises(ImageTooCostlyError) as caught:
        check_cost(work(scans=9, confidence=True), RATES, 2.0)
    assert "1000000 pixels in 9 scans with confidence takes about 2.7 s" in str(caught.value)
    assert "the limit is 2.0 s" in str(caught.value)
    assert "FCNSERVE_MAX_IMAGE_SECONDS" in str(caught.value)


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_each_format_is_timed_by_its_own_decoder(name: str) -> None:
    header = photo.read_header(write(smooth(), name), frozenset(ALL_FORMATS))
    assert (header.format, header.height, header.width) == (name, *smooth().shape[:2])
    assert decode_rate(name).s_per_megapixel > 0


def test_a_picture_that_compresses_badly_costs_by_its_bytes() -> None:
    assert decode_rate("jpeg").s_per_megabyte > 0
    assert len(write(noise(), "jpeg")) > 3 * len(write(smooth(), "jpeg"))


@pytest.fixture(scope="module")
def network() -> Network:
    return CpuNetwork(load_config(MODEL), MODEL, cpu())


def test_a_worker_measures_the_rates_of_all_formats(network: Network) -> None:
    rates = measure_rates(network, PassCosts(10.0, 1e-4))
    assert sorted(rates.decode) == ALL_FORMATS
    assert (rates.pass_s, rates.forward_s_per_megapixel) == (0.01, 0.1)
    assert rates.labels_s_per_megapixel > 0
    assert CostRates.model_validate_json(rates.model_dump_json()) == rates


def test_a_prediction_is_of_the_size_of_the_measured_time(network: Network) -> None:
    """Of a photo ten times as large as those that are timed; other programs may double a time."""
    rates = measure_rates(network, PassCosts(0.0, 0.0))
    body = save(noise_of((1000, 1400)), "JPEG", quality=80)
    header = photo.read_header(body)
    asked = Work.of(header, len(body), 0, confidence=False)
    labels_s = asked.pixels * rates.labels_s_per_megapixel / MILLION
    assert 1 / 5 < (rates.predicted_s(asked) - labels_s) / decode_s(body) < 5


SLOW = FAKE_COSTS.model_copy(update={"confidence_s_per_megapixel": 10.0})


async def test_the_gateway_refuses_what_takes_longer_than_a_batch_may() -> None:
    cat_s = 153_600 / FAKE_PIXELS_PER_S
    async with running(FakeTorchServe(response_timeout_s=3 * 1.0, costs=SLOW)) as gateway:
        assert (await gateway.segment()).status_code == 200
        refused = await gateway.segment(output="confidence")
        assert (refused.status_code, refused.json()["code"]) == (413, "too_costly")
        assert f"{cat_s + 1.353:.1f} s of computing; the limit is 1.0 s" in refused.json()["detail"]
        assert [call.body for call in gateway.torchserve.photos] == [CAT]


async def test_the_operator_may_allow_an_image_less() -> None:
    cat_s = 153_600 / FAKE_PIXELS_PER_S
    async with running(FakeTorchServe(), max_image_seconds=cat_s / 2) as gateway:
        refused = await gateway.segment()
        assert (refused.status_code, refused.json()["code"]) == (413, "too_costly")
        assert (await gateway.segment(max_side=64)).status_code == 200


async def test_requests_beyond_the_seconds_in_flight_are_turned_away() -> None:
    cat_s = 153_600 / FAKE_PIXELS_PER_S
    async with running(max_in_flight_seconds=1.5 * cat_s) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.hangs
        first = asyncio.create_task(gateway.segment())
        await until(lambda: gateway.value("fcnserve_seconds_in_flight") == cat_s)
        refused = await gateway.segment()
        assert (refused.status_code, refused.json()["code"]) == (429, "busy")
        assert "FCNSERVE_MAX_IN_FLIGHT_SECONDS" in refused.json()["detail"]
        gateway.torchserve.released.set()
        assert (await first).status_code == 200
