"""The network on a GPU gives what the one on a processor gives, whatever shares a photo's pass.

All of it but the recording runs on a processor, too; `gpu` marks what does not run here.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from handlers.model_config import Batching, BatchSize, GroupPixels, Ladder, load_config
from handlers.runtime import canvas_batch
from handlers.runtime.device import Device
from handlers.runtime.labels import LabelArray, OutputRequest
from handlers.runtime.network import Network
from handlers.runtime.network_cuda import CudaNetwork
from handlers.runtime.warm_up.run import LONGEST_S, warm_up
from handlers.shared.frame import Frame
from tests.support.photos import save
from tests.support.worker import (
    MODEL,
    Pixels,
    code_of,
    cpu,
    jobs_of,
    labels_of,
    network,
    pipeline,
    sample,
)

cuda = pytest.param(
    "cuda",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU here"),
    ],
)
CANVAS = Frame(256, 256)
# (height, width) of photos on it, and what is requested of them
SIZES = [(200, 150), (97, 256), (256, 224), (33, 60)]
REQUESTS = [
    OutputRequest((200, 150)),
    OutputRequest((300, 790), confidence=True),
    OutputRequest((256, 224)),
    OutputRequest((31, 60)),
]

Labels = tuple[LabelArray, LabelArray | None]


@pytest.fixture(scope="module", params=["cpu", cuda])
def device(request: pytest.FixtureRequest) -> Device:
    return dataclasses.replace(cpu(), torch_device=torch.device(request.param, 0))


@pytest.fixture(scope="module")
def net(device: Device) -> CudaNetwork:
    return CudaNetwork(load_config(MODEL), MODEL, device)


@pytest.fixture(scope="module")
def photos() -> list[Pixels]:
    cat = sample("cat")
    return [np.ascontiguousarray(cat[: size[0], -size[1] :]) for size in SIZES]


def label(
    net: Network, photos: Sequence[Pixels], requests: Sequence[OutputRequest]
) -> list[Labels]:
    canvas = CANVAS if len(photos) > 1 else net.single_canvas(photos[0].shape[:2])
    return [pending.read() for pending in net.label(photos, requests, canvas)]


def same(one: Labels, other: Labels) -> bool:
    """Labels are alike; confidence may be off by one: torch's own kernels differ in the last bits
    from canvas to canvas, which warm-up measures.
    """
    if one[1] is None or other[1] is None:
        return np.array_equal(one[0], other[0]) and one[1] is other[1]
    off = np.abs(one[1].astype(int) - other[1])
    return np.array_equal(one[0], other[0]) and bool(off.max() <= 1)


def test_a_photo_in_a_batch_has_the_labels_of_its_single_pass(
    net: CudaNetwork, photos: list[Pixels]
) -> None:
    batch = label(net, photos, REQUESTS)
    for photo, request, in_batch in zip(photos, REQUESTS, batch, strict=True):
        (single,) = label(net, [photo], [request])
        assert single[0].shape == request.size
        assert (single[1] is not None) == request.confidence
        assert same(single, in_batch)


def test_memory_left_from_other_photos_changes_nothing(
    net: CudaNetwork, photos: list[Pixels]
) -> None:
    first = label(net, photos, REQUESTS)
    noise = [np.full((256, 256, 3), 255, np.uint8)] * len(photos)
    label(net, noise, [OutputRequest((256, 256))] * len(photos))
    assert all(map(same, first, label(net, photos, REQUESTS)))


def test_the_network_reads_zeros_beside_a_photo_and_beyond_its_three_channels(
    net: CudaNetwork, photos: list[Pixels]
) -> None:
    staged = net._stage(photos, CANVAS)
    net.synchronise()
    canvas = net._normalise(staged.pixels, staged.ends[0])
    assert canvas.shape == (len(photos), 8, *CANVAS)
    assert canvas.is_contiguous(memory_format=torch.channels_last)
    for one, photo in zip(canvas.cpu(), photos, strict=True):
        height, width = photo.shape[:2]
        assert one[:3, :height, :width].count_nonzero() > height * width
        one[:3, :height, :width] = 0
        assert one.count_nonzero() == 0


def test_group_after_group_may_be_queued_before_any_is_read(
    net: CudaNetwork, photos: list[Pixels]
) -> None:
    queued = [
        net.label([photo], [request], CANVAS)
        for photo, request in zip(photos, REQUESTS, strict=True)
    ]
    for (pending,), photo, request in reversed(list(zip(queued, photos, REQUESTS, strict=True))):
        assert same(pending.read(), *label(net, [photo], [request]))


def test_the_labels_are_those_of_a_processor(net: CudaNetwork, photos: list[Pixels]) -> None:
    reference = network("fp32")
    for ours, theirs in zip(
        label(net, photos, REQUESTS), label(reference, photos, REQUESTS), strict=True
    ):
        assert np.mean(ours[0] == theirs[0]) > 0.999


def test_a_pipeline_answers_with_it(net: CudaNetwork, photos: list[Pixels]) -> None:
    bodies = [save(photo, "PNG") for photo in photos]
    answers, expected = (
        [labels_of(answer) for answer in pipeline(each).run(jobs_of(*bodies))]
        for each in (net, network("fp32"))
    )
    assert [answer.shape for answer in answers] == SIZES
    agree = [np.mean(one == other) for one, other in zip(answers, expected, strict=True)]
    assert min(agree) > 0.999


def test_photos_are_decoded_into_the_memory_that_is_sent_up(
    net: CudaNetwork, photos: list[Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [save(photo, "PNG") for photo in photos]
    worker = pipeline(net)

    def masks() -> list[bytes]:
        return [answer.body for answer in worker.run(jobs_of(*bodies))]

    with monkeypatch.context() as patched:
        patched.setattr(canvas_batch, "PINNED_BYTES", 0)
        expected = masks()
    monkeypatch.setattr(net, "_lay_out", None)  # would copy them
    assert masks() == expected


def test_a_broken_photo_in_a_groups_memory_changes_no_other_mask(
    net: CudaNetwork, photos: list[Pixels]
) -> None:
    bodies = [save(photo, "PNG") for photo in photos]
    worker = pipeline(net)
    expected = [labels_of(answer) for answer in worker.run(jobs_of(*bodies))]
    bodies[1] = bodies[1][:-40]
    answers = worker.run(jobs_of(*bodies))
    assert code_of(answers[1]) == "broken_image"
    for index in (0, 2, 3):
        np.testing.assert_array_equal(labels_of(answers[index]), expected[index])


def test_warm_up_measures_single_photos_on_the_ladder_too(
    net: CudaNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LONGEST_S, "cpu", 600)
    batching = Batching(
        batch_size=BatchSize(cpu=2, cuda=2),
        exact=False,
        ladder=Ladder(cpu=(64,), cuda=(64,)),
        group_pixels=GroupPixels(cpu=10**5, cuda=10**5),
    )
    costs = warm_up(net, batching)
    assert (Frame(64, 64), 1) in costs.shared
    assert set(costs.shared) <= {(Frame(64, 64), 1), (Frame(64, 64), 2)}
    assert costs.single_ms(Frame(64, 64)) > 0


def test_a_gpu_that_cannot_record_runs_kernel_by_kernel(
    net: CudaNetwork, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_images: int, _canvas: Frame) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    kind = property(lambda _device: "cuda")
    with monkeypatch.context() as patched:
        patched.setattr(Device, "kind", kind)
        patched.setattr(net, "_record", fails)
        assert not net._try_to_record()
    assert "cannot be recorded, and run kernel by kernel: operation not permitted" in caplog.text


def test_no_kernel_is_timed_after_the_warm_up(net: CudaNetwork) -> None:
    with torch.backends.cudnn.flags(enabled=True, benchmark=True):
        net.end_warm_up()
        assert not torch.backends.cudnn.benchmark


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU here")
def test_a_recorded_pass_gives_the_same_bits_as_an_unrecorded_one(photos: list[Pixels]) -> None:
    on_gpu = dataclasses.replace(cpu("bf16"), torch_device=torch.device("cuda", 0))
    plain, recorded = (CudaNetwork(load_config(MODEL), MODEL, on_gpu) for _ in range(2))
    recorded.prepare(len(photos), CANVAS)
    for turn in (photos, photos[::-1], photos):
        assert all(map(torch.equal, plain.scores(turn, CANVAS), recorded.scores(turn, CANVAS)))
