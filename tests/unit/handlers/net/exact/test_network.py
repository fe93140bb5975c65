"""A photo's scores are those of a single pass, bit for bit, on any canvas and in any batch."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import lru_cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from handlers.model_config import load_config
from handlers.net import ARCHITECTURES
from handlers.net.exact.layers import onednn_computes
from handlers.net.exact.masks import Mask, MaskedActivation
from handlers.net.exact.network import ExactNet
from handlers.net.exact.rewrite import MASKS
from handlers.net.options import BackboneOptions, Kernels, LiteOptions, Upsampling
from handlers.runtime.weights import load_net
from tests.support.toys import (
    NARROW_ALEXNET,
    NARROW_PAPER_VGG,
    NARROW_VGG,
    PhotoBatch,
    Toy,
    lay_out,
    narrow_vgg,
    photo_batches,
    randomised,
    run,
    run_masked,
    run_single,
)
from tests.support.worker import MODEL, WEIGHTS, sample

# of the largest score: batch-norm is folded in one, and sums are taken in another order; random
# networks of 60 layers make 1e-5 and more of that
SAME_FUNCTION = 2e-4


def family(
    architecture: str, kernels: Kernels = "bilinear", options: BackboneOptions = NARROW_VGG
) -> nn.Module:
    upsampling = Upsampling(between=kernels, last=kernels)
    return randomised(ARCHITECTURES[architecture](5, options, upsampling))


def wide(architecture: str, kernels: Kernels = "bilinear") -> nn.Module:
    upsampling = Upsampling(between=kernels, last=kernels)
    return randomised(ARCHITECTURES[architecture](5, LiteOptions(skips="expand"), upsampling))


NETS: dict[str, Callable[[], nn.Module]] = {
    "toy": lambda: randomised(Toy()),
    "lite0": lambda: randomised(ARCHITECTURES["fcn8s-lite0"](5)),
    "lite0-trained": lambda: load_net(load_config(MODEL), WEIGHTS),
    "vgg16": narrow_vgg,
    "vgg16-padding-100": lambda: narrow_vgg(NARROW_PAPER_VGG),
    "fcn32s-lite0": lambda: family("fcn32s-lite0"),
    "fcn16s-lite0-dense": lambda: family("fcn16s-lite0", "dense"),
    "fcn8s-lite0-expand": lambda: wide("fcn8s-lite0"),
    "fcn8s-lite1-expand-dense": lambda: wide("fcn8s-lite1", "dense"),
    "fcn16s-lite2-expand-per-class": lambda: wide("fcn16s-lite2", "per_class"),
    "fcn16s-vgg16-per-class": lambda: family("fcn16s-vgg16", "per_class"),
    "fcn32s-vgg16-padding-100-dense": lambda: family("fcn32s-vgg16", "dense", NARROW_PAPER_VGG),
    "fcn16s-vgg16-padding-100": lambda: family("fcn16s-vgg16", "bilinear", NARROW_PAPER_VGG),
    "fcn8s-vgg16-padding-100-dense": lambda: family("fcn8s-vgg16", "dense", NARROW_PAPER_VGG),
    "fcn8s-vgg16-padding-100-per-class": lambda: family(
        "fcn8s-vgg16", "per_class", NARROW_PAPER_VGG
    ),
    "fcn32s-alexnet-padding-100": lambda: family("fcn32s-alexnet", "bilinear", NARROW_ALEXNET),
    "fcn8s-alexnet-padding-100-dense": lambda: family(
        "fcn8s-alexnet",
        "dense",
        NARROW_ALEXNET.model_copy(update={"response_norm": "before_pool", "groups": 1}),
    ),
}
# the sides of frames are multiples of the first, up to the second
FRAMES = {name: (1, 90) for name in NETS if name == "toy" or "padding-100" in name}
DEFAULT_FRAMES = (32, 200)

each_net = pytest.mark.parametrize("name", NETS)
fast_bf16 = pytest.mark.skipif(
    not onednn_computes(torch.bfloat16), reason="this processor does not compute in bf16"
)
each_precision = pytest.mark.parametrize(
    "dtype",
    [
        pytest.param(torch.float32, id="fp32"),
        pytest.param(torch.bfloat16, marks=fast_bf16, id="bf16"),
    ],
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small maps are computed fastest with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@lru_cache
def plain(name: str) -> nn.Module:
    return NETS[name]()


@lru_cache
def exact(name: str, dtype: torch.dtype = torch.float32) -> ExactNet:
    return ExactNet(deepcopy(plain(name))).to(dtype)


def batches_of(name: str) -> st.SearchStrategy[PhotoBatch]:
    multiple, most = FRAMES.get(name, DEFAULT_FRAMES)
    return photo_batches(multiple, 8, most)


@lru_cache
def masked(name: str) -> ExactNet:
    return ExactNet(deepcopy(plain(name)), MASKS).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # untyped


def change(scores: Tensor, expected: Tensor) -> float:
    """The largest difference, as a part of the range of scores."""
    span = expected.max() - expected.min()
    return ((scores - expected).abs().max() / span).item()


@each_precision
@each_net
@settings(derandomize=True, max_examples=15, database=None)
@given(data=st.data())
@torch.inference_mode()
def test_scores_do_not_depend_on_canvas_position_or_batch(
    name: str, dtype: torch.dtype, data: st.DataObject
) -> None:
    batch = data.draw(batches_of(name))
    net = exact(name, dtype)
    photos = [photo.to(dtype) for photo in batch.photos()]
    for photo, scores in zip(photos, run(net, photos, batch.canvas), strict=True):
        assert torch.equal(scores, run_single(net, photo))


@each_net
@settings(derandomize=True, max_examples=4, database=None)
@given(data=st.data())
@torch.inference_mode()
def test_on_a_single_frame_it_is_the_plain_network(name: str, data: st.DataObject) -> None:
    photo = data.draw(batches_of(name)).photos()[0]
    expected = plain(name)(photo[None])[0]
    scores = run_single(exact(name), photo)
    assert scores.shape == expected.shape
    assert (scores - expected).abs().max() <= SAME_FUNCTION * expected.abs().max()


@each_net
@pytest.mark.parametrize("content", [float("nan"), float("inf"), 1e30, 255.0], ids=str)
@torch.inference_mode()
def test_no_content_of_other_photos_changes_scores(name: str, content: float) -> None:
    net = exact(name)
    photo = PhotoBatch([(64, 32)], (0, 0), seed=1).photos()[0]
    others = [torch.full((3, 96, 64), content), torch.full((3, 32, 128), content)]
    batch = [others[0], photo, others[1]]
    assert torch.equal(run(net, batch, (96, 128))[1], run_single(net, photo))


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("name", ["lite0-trained", "vgg16", "toy"])
@torch.inference_mode()
def test_scores_are_exact_with_other_numbers_of_threads(name: str, threads: int) -> None:
    torch.set_num_threads(threads)
    photos = PhotoBatch([(96, 160), (128, 64), (32, 32)], (0, 0), seed=2).photos()
    net = exact(name)
    for photo, scores in zip(photos, run(net, photos, (160, 160)), strict=True):
        assert torch.equal(scores, run_single(net, photo))


@pytest.mark.parametrize("name", ["lite0-trained", "vgg16"])
@torch.inference_mode()
def test_padding_alone_would_change_scores(name: str) -> None:
    # the usual padding: photos on a larger canvas, and the network as it is
    pixels = torch.from_numpy(sample("cat")[:160, :192].copy())
    photo = (pixels.permute(2, 0, 1) - 127) / 128
    net = plain(name)
    expected = net(photo[None])[0]
    height, width = expected.shape[1:]
    padded = net(lay_out([photo], (320, 320)))[0, :, :height, :width]
    assert change(padded, expected) > 0.05
    assert change(run(exact(name), [photo], (320, 320))[0], run_single(exact(name), photo)) == 0


@each_net
@settings(derandomize=True, max_examples=5, database=None)
@given(data=st.data())
def test_masks_blank_what_strips_blank(name: str, data: st.DataObject) -> None:
    """Torch's own kernels, which a GPU takes, differ in the last bits from canvas to canvas."""
    batch = data.draw(batches_of(name))
    net, photos = masked(name), batch.photos()
    with torch.inference_mode():
        for photo, scores in zip(photos, run_masked(net, photos, batch.canvas), strict=True):
            assert change(scores, run_single(exact(name), photo)) < SAME_FUNCTION


def test_masks_are_computed_with_the_activations_where_maps_are_large() -> None:
    layers = [type(layer) for layer in masked("lite0").modules()]
    assert layers.count(MaskedActivation) == 16  # before each block's depthwise convolution
    assert layers.count(Mask) == 2  # of scores on their way up


@pytest.mark.parametrize(
    ("name", "after_pools"),
    [
        pytest.param("vgg16-padding-100", 0, id="ceil"),
        pytest.param("vgg16", 5, id="floor"),  # its last window may be half of the photo
    ],
)
def test_pooling_needs_no_mask_before_it_and_rarely_one_after_it(
    name: str, after_pools: int
) -> None:
    layers = [type(layer) for layer in masked(name).modules()]
    assert layers.count(nn.MaxPool2d) == 5
    assert layers.count(Mask) == 2 + after_pools  # two of scores on their way up


@torch.inference_mode()
def test_what_overflows_in_fp16_does_not_leave_a_photo() -> None:
    maps = torch.tensor([[[[2.0, float("nan"), float("inf")], [float("nan"), -1.0, 7.0]]]])
    limits = torch.tensor([[[[6.0, 0.0, 6.0], [0.0, 6.0, 6.0]]]])
    activated = MaskedActivation(0, 6.0)(maps.half(), {0: limits.half()})
    assert activated.tolist() == [[[[2, 0, 6], [0, 0, 6]]]]
