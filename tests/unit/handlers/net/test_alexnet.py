"""AlexNet is the paper's, and normalises responses to the same bits in any batch."""

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn.functional import local_response_norm

from handlers.net import ARCHITECTURES
from handlers.net.exact.response_norm import ResponseNorm
from handlers.net.options import AlexNetOptions, Upsampling
from handlers.net.options import ResponseNorm as Order
from tests.support.paper import alexnet_scores
from tests.support.toys import NARROW_ALEXNET, randomised

# caffe's CaffeNet: 60,965,224 less fc8's 4,097,000
BACKBONE_PARAMETERS = 56_868_224
SIZES = [(1, 1), (33, 70), (90, 61)]


def test_the_default_is_the_papers_network() -> None:
    with torch.device("meta"):
        net = ARCHITECTURES["fcn32s-alexnet"](21)
    parameters = {name: weight.shape for name, weight in net.backbone.named_parameters()}
    assert sum(shape.numel() for shape in parameters.values()) == BACKBONE_PARAMETERS
    assert parameters["conv1.weight"] == (96, 3, 11, 11)
    assert parameters["conv2.weight"] == (256, 48, 5, 5)  # groups read half of the channels
    assert parameters["fc6.weight"] == (4096, 256, 6, 6)
    # the published upscore's 63 rows, cut at 18
    assert (net.score_placement.origin, net.score_placement.stride) == (31 - 18, 32)


@pytest.mark.parametrize("order", ["after_pool", "before_pool", "none"])
@torch.inference_mode()
def test_scores_are_those_of_the_published_network(order: Order) -> None:
    options = NARROW_ALEXNET.model_copy(update={"response_norm": order})
    learned = Upsampling(last="per_class")  # so that the network scores each pixel itself
    net = randomised(ARCHITECTURES["fcn32s-alexnet"](5, options, learned))
    state = {name.removeprefix("backbone."): value for name, value in net.state_dict().items()}
    random = torch.Generator().manual_seed(0)
    for size in SIZES:
        photo = 100 * torch.randn(1, 3, *size, generator=random)
        expected = alexnet_scores(state, photo, order)
        assert (net(photo) - expected).abs().max() <= 1e-5 * expected.abs().max()


def responses(seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    x = 300 * torch.randn(3, 13, 7, 11, generator=random)
    return x.contiguous(memory_format=torch.channels_last)


def test_responses_are_normalised_as_by_torch() -> None:
    x = responses(0)
    assert torch.allclose(ResponseNorm()(x), local_response_norm(x, 5, 1e-4, 0.75, 1.0), rtol=1e-6)


def test_a_response_has_the_same_bits_in_any_batch_and_on_any_map() -> None:
    x = responses(1)
    together = ResponseNorm()(x)
    for photo in range(3):
        for height, width in ((7, 11), (1, 1), (3, 10)):
            alone = x[photo : photo + 1, :, :height, :width].contiguous()
            assert torch.equal(ResponseNorm()(alone)[0], together[photo, :, :height, :width])


def test_large_responses_in_16_bits_do_not_overflow() -> None:
    x = torch.full((1, 6, 1, 1), 6e4, dtype=torch.float16)
    assert ResponseNorm()(x).isfinite().all()
    assert (ResponseNorm()(x) > 0).all()


@pytest.mark.parametrize(
    "options", [{"groups": 3}, {"response_norm": "everywhere"}, {"padding": 100}], ids=str
)
def test_options_that_mean_nothing_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AlexNetOptions.model_validate(options)
