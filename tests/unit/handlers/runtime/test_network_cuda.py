"""The network on a GPU gives what the one on a processor gives, whatever shares a photo's pass.

All of it but the recording runs on a processor, too; `gpu` marks what does not run here.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from handlers.model_config import Batching, BatchSize, GroupPixels, Ladder, load_config
from handlers.net.exact.geometry import PHOTO, Place
from handlers.runtime.device import Device, is_lost
from handlers.runtime.network import Network
from handlers.runtime.network_cuda import GpuNetwork
from handlers.runtime.upsample import LabelMap, Surface, Wanted
from handlers.runtime.upsample_cuda import dense_labels, packed_axes, unpacked_axes
from handlers.runtime.warm_up import warm_up
from handlers.shared.frame import Frame
from handlers.stages.outcome import EX_SOFTWARE, translate
from tests.support.photos import save
from tests.support.worker import (
    CLASSES,
    MODEL,
    Pixels,
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
# (height, width) of photos on it, and of the label maps that are wanted of them
SIZES = [(200, 150), (97, 256), (256, 224), (33, 60)]
WANTED = [
    Wanted((200, 150)),
    Wanted((300, 790), confidence=True),
    Wanted((256, 224)),
    Wanted((31, 60)),
]


@pytest.fixture(scope="module", params=["cpu", cuda])
def device(request: pytest.FixtureRequest) -> Device:
    return dataclasses.replace(cpu(), torch_device=torch.device(request.param))


@pytest.fixture(scope="module")
def net(device: Device) -> GpuNetwork:
    return GpuNetwork(load_config(MODEL), MODEL, device)


@pytest.fixture(scope="module")
def photos() -> list[Pixels]:
    whole = sample("cat")
    return [np.ascontiguousarray(whole[: size[0], -size[1] :]) for size in SIZES]


def label(net: Network, photos: Sequence[Pixels], wanted: Sequence[Wanted]) -> list[LabelMap]:
    canvas = CANVAS if len(photos) > 1 else net.frame(photos[0].shape[:2])
    return [reading() for reading in net.label(photos, wanted, canvas)]


def same(one: LabelMap, other: LabelMap) -> bool:
    """Labels are alike; confidence may be off by one: torch's own kernels differ in the last bits
    from canvas to canvas, which warm-up finds out.
    """
    if one.confidence is None or other.confidence is None:
        return np.array_equal(one.labels, other.labels) and one.confidence is other.confidence
    off = np.abs(one.confidence.astype(int) - other.confidence)
    return np.array_equal(one.labels, other.labels) and off.max() <= 1


def test_a_photo_in_a_crowd_has_the_labels_that_it_has_alone(
    net: GpuNetwork, photos: list[Pixels]
) -> None:
    crowd = label(net, photos, WANTED)
    for photo, want, given in zip(photos, WANTED, crowd, strict=True):
        (alone,) = label(net, [photo], [want])
        assert alone.labels.shape == want.size
        assert (alone.confidence is not None) == want.confidence
        assert same(alone, given)


def test_what_is_left_of_other_photos_in_memory_changes_nothing(
    net: GpuNetwork, photos: list[Pixels]
) -> None:
    first = label(net, photos, WANTED)
    noise = [np.full((256, 256, 3), 255, np.uint8)] * len(photos)
    label(net, noise, [Wanted((256, 256))] * len(photos))
    assert all(map(same, first, label(net, photos, WANTED)))


def test_group_after_group_may_be_queued_before_any_is_read(
    net: GpuNetwork, photos: list[Pixels]
) -> None:
    queued = [
        net.label([photo], [want], CANVAS) for photo, want in zip(photos, WANTED, strict=True)
    ]
    for (reading,), photo, want in reversed(list(zip(queued, photos, WANTED, strict=True))):
        assert same(reading(), *label(net, [photo], [want]))


def test_the_labels_are_those_of_a_processor(net: GpuNetwork, photos: list[Pixels]) -> None:
    reference = network("fp32")
    for ours, theirs in zip(
        label(net, photos, WANTED), label(reference, photos, WANTED), strict=True
    ):
        assert np.mean(ours.labels == theirs.labels) > 0.999


@pytest.mark.parametrize("place", [Place(3.5, 8), PHOTO], ids=["coarse", "of-pixels"])
def test_every_pixel_is_interpolated_as_on_a_processor(
    device: Device, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "handlers.runtime.upsample_cuda.STRIP_SCORES", CLASSES * 90 * 7
    )  # seven rows at a time
    working, wanted = (40, 60), Wanted((75, 90), confidence=True)
    height, width = (5, 8) if place.stride > 1 else working
    scores = 4 * torch.randn(CLASSES, height, width, generator=torch.Generator().manual_seed(5))
    axes = packed_axes([working], [wanted], place).to(device.torch_device)
    ((rows, columns),) = unpacked_axes(axes, [wanted])
    made = dense_labels(scores.to(device.torch_device), rows, columns, confidence=True).cpu()
    surface = Surface(scores, place, working, wanted.size)
    labels = surface.labels()
    assert (made[0] == labels).float().mean() > 0.999
    off = made[1].int() - surface.confidence().int()
    assert off.abs()[made[0] == labels].max() <= 1


def test_the_whole_worker_answers_with_it(net: GpuNetwork, photos: list[Pixels]) -> None:
    bodies = [save(photo, "PNG") for photo in photos]
    answers, expected = (
        [labels_of(answer) for answer in pipeline(each).run(jobs_of(*bodies))]
        for each in (net, network("fp32"))
    )
    assert [answer.shape for answer in answers] == SIZES
    agree = [np.mean(one == other) for one, other in zip(answers, expected, strict=True)]
    assert min(agree) > 0.999


def test_warm_up_tries_lone_photos_on_the_ladder_too(net: GpuNetwork) -> None:
    batching = Batching(
        batch_size=BatchSize(cpu=2, cuda=2),
        exact=False,
        ladder=Ladder(cpu=(64,), cuda=(64,)),
        group_pixels=GroupPixels(cpu=10**5, cuda=10**5),
    )
    costs = warm_up(net, batching)
    assert set(costs.shared_ms) <= {(Frame(64, 64), 1), (Frame(64, 64), 2)}
    assert costs.single_ms(Frame(64, 64)) > 0


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        pytest.param(torch.AcceleratorError("CUDA error: an illegal access"), True, id="access"),
        pytest.param(RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"), True, id="cublas"),
        pytest.param(torch.OutOfMemoryError("CUDA out of memory"), False, id="memory"),
        pytest.param(RuntimeError("GET was unable to find an engine"), False, id="workspace"),
        pytest.param(RuntimeError("shape mismatch"), False, id="ours"),
    ],
)
def test_a_worker_whose_device_is_lost_ends(
    error: Exception, lost: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[int] = []
    monkeypatch.setattr("os._exit", ended.append)
    monkeypatch.setattr("logging.shutdown", lambda: None)
    translate(error, "a-request")
    assert is_lost(error) is lost
    assert ended == ([EX_SOFTWARE] if lost else [])
    assert ("the device is lost" in caplog.text) is lost


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU here")
def test_a_recorded_pass_gives_the_bits_of_one_that_is_not(photos: list[Pixels]) -> None:
    on_gpu = dataclasses.replace(cpu("bf16"), torch_device=torch.device("cuda"))
    plain, recorded = (GpuNetwork(load_config(MODEL), MODEL, on_gpu) for _ in range(2))
    recorded.prepare(len(photos), CANVAS)
    for turn in (photos, photos[::-1], photos):
        assert all(map(torch.equal, plain.scores(turn, CANVAS), recorded.scores(turn, CANVAS)))
