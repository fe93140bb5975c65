"""The EfficientNet-Lite family computes what its table defines, for either kind of features."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from handlers.net.lite import Lite
from handlers.net.options import LiteName, Skips
from tests.support.published import LITE_STAGES
from tests.support.reference import Weights, batch_norm, block, conv, relu6
from tests.support.toys import randomised

# of each stage's first block
STRIDES = (1, 2, 2, 2, 1, 2, 1)
# of the largest number: the same sums in another order, through up to 90 layers
SAME_FUNCTION = 1e-4


def blocks(name: str) -> Iterator[tuple[int, bool]]:
    """Stride of each block, and whether it halves a map of stride 8 or 16."""
    repeats, _ = LITE_STAGES[name]
    for stage, (count, stride) in enumerate(zip(repeats, STRIDES, strict=True)):
        for repeat in range(count):
            first = repeat == 0
            yield (stride if first else 1), first and stage in {3, 5}


def features(w: Weights, x: Tensor, name: str, skips: Skips) -> list[Tensor]:
    """Compute the features of a photo at strides 8, 16 and 32, step by step."""
    x = relu6(batch_norm(conv(x, w["stem.weight"], 2), w, "bn0"))
    found = []
    for number, (stride, halves) in enumerate(blocks(name)):
        if halves and skips == "expand":
            wide = conv(x, w[f"blocks.{number}.expand.weight"])
            found.append(relu6(batch_norm(wide, w, f"blocks.{number}.bn0")))
        elif halves:
            found.append(x)
        y = block(x, w, f"blocks.{number}", stride)
        x = x + y if x.shape == y.shape else y
    return [*found, relu6(batch_norm(conv(x, w["head.weight"]), w, "bn1"))]


@pytest.mark.parametrize("skips", ["project", "expand"])
@pytest.mark.parametrize("name", ["lite0", "lite2", "lite4"])
@torch.inference_mode()
def test_features_are_those_of_the_table(name: LiteName, skips: Skips) -> None:
    net = randomised(Lite(name, skips))
    photo = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(3))
    expected = features(net.state_dict(), photo, name, skips)
    for ours, theirs, stride in zip(net(photo), expected, (8, 16, 32), strict=True):
        assert ours.shape[2:] == (64 // stride, 96 // stride)
        scale = theirs.abs().max().item()
        torch.testing.assert_close(ours, theirs, rtol=0, atol=SAME_FUNCTION * scale)
    assert tuple(each.shape[1] for each in net(photo)) == net.channels
