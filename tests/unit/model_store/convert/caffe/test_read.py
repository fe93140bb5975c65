"""Caffe's binary checkpoints become networks with the published labels; hostile files are named."""

import random
import tracemalloc
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from handlers.model_config import ModelConfig, load_config
from handlers.runtime.network_cpu import CpuNetwork
from handlers.runtime.upsample.processor import ScoreGrid
from model_store.tools.convert.architecture import ConvertOptions
from model_store.tools.convert.convert import convert
from model_store.tools.convert.layouts import read_network
from model_store.tools.convert.state_dict import CheckpointError
from model_store.tools.convert.torchvision_vgg import torchvision_names
from tests.support.caffemodel import (
    CaffeLayer,
    bytes_field,
    caffemodel,
    integer_field,
    layers_of,
    scale,
)
from tests.support.paper import alexnet_scores, papers_scores
from tests.support.published import (
    NARROW,
    NARROW_ALEXNET,
    alexnet_shapes,
    filled,
    port_state,
    torchvision_alexnet_shapes,
    torchvision_shapes,
)
from tests.support.worker import Pixels, cpu, sample

VOC_MEAN = (104.00699, 116.66877, 122.67892)  # BGR, as all here
NYUD_MEAN = (116.190, 97.203, 92.318)
SIFT_FLOW_MEAN = (114.578, 115.294, 108.353)
AGREEMENT = 0.999
LEAST_CLASSES = 3
CHANGES = 200
# by the number of classes, where the default labels too few of them
SEEDS = {40: 1}
SIZES = ((1, 1), (61, 83), (100, 141))

Scores = Callable[[Mapping[str, Tensor], Tensor], Tensor]


def write(folder: Path, layers: list[CaffeLayer], version: str = "v2") -> Path:
    file = folder / "net.caffemodel"
    file.write_bytes(caffemodel(layers, version))
    return file


def made(file: Path, options: ConvertOptions | None = None) -> ModelConfig:
    return convert(file, file.parent / "made", options or ConvertOptions())[1]


def agreement(
    folder: Path, state: Mapping[str, Tensor], scores: Scores, mean: tuple[float, ...] = VOC_MEAN
) -> float:
    """Compare labels with those of the published network: the worst share over all sizes."""
    network = CpuNetwork(load_config(folder), folder, cpu("fp32"))
    worst, classes = 1.0, set[int]()
    for height, width in SIZES:
        photo = sample("cat")[100 : 100 + height, 120 : 120 + width]
        values = photo[:, :, ::-1].astype(np.float64) - mean
        x = torch.from_numpy(values.transpose(2, 0, 1).copy()).float()[None]
        expected = scores(state, x)[0].argmax(0).numpy()
        worst = min(worst, float((labels(network, photo) == expected).mean()))
        classes |= set(expected.flatten().tolist())
    assert len(classes) >= LEAST_CLASSES, "the reference has too few classes to compare"
    return worst


def labels(network: CpuNetwork, photo: Pixels) -> Pixels:
    size = (photo.shape[0], photo.shape[1])
    scores = network.scores([photo], network.frame(size))[0]
    found: Pixels = ScoreGrid(scores, network.score_placement, size, size).labels().numpy()
    return found


def with_classes(state: dict[str, Tensor], classes: int) -> dict[str, Tensor]:
    """Give the score layers another number of classes, with kernels that are bilinear."""
    torch.manual_seed(SEEDS.get(classes, classes))
    for name in [each for each in state if each.startswith("score")]:
        shape = (classes, *state[name].shape[1:])
        weights = torch.randn(shape) / 4
        # mean weights of 0, as elsewhere in tests: no class wins everywhere
        state[name] = weights - weights.mean(1, keepdim=True) if len(shape) > 1 else weights
    for name in [each for each in state if each.startswith("upscore")]:
        kernel = state[name][0, 0]
        state[name] = torch.zeros(classes, classes, *kernel.shape)
        state[name][range(classes), range(classes)] = kernel
    return state


@pytest.mark.parametrize(
    ("stride", "version"), [(32, "v2"), (16, "v2"), (8, "v2"), (8, "v1"), (8, "v0")]
)
@torch.inference_mode()
def test_a_published_fcn_gives_the_published_labels(
    tmp_path: Path, stride: int, version: str
) -> None:
    state = port_state(stride, "bilinear" if version == "v2" else "dense")
    config = made(write(tmp_path, layers_of(state), version))
    assert config.architecture == f"fcn{stride}s-vgg16"
    assert config.classes[1] == "aeroplane"
    found = agreement(tmp_path / "made", state, lambda s, x: papers_scores(s, x, stride))
    assert found >= AGREEMENT


@torch.inference_mode()
def test_the_scales_of_a_network_trained_at_once_are_part_of_it(tmp_path: Path) -> None:
    state = port_state(8, "bilinear")
    for name in ("score_pool4", "score_pool3"):  # so that they still change labels
        state[f"{name}.weight"] *= 100
    four, three = (state[f"{name}.weight"].shape[1] for name in ("score_pool4", "score_pool3"))
    layers = layers_of(state)
    layers.append(CaffeLayer("scale_pool4", "Scale", [scale(four, 0.01)]))
    layers.append(CaffeLayer("scale_pool3", "Scale", [scale(three, 0.0001)]))
    for number, at_once in enumerate((False, True)):  # not scaled twice
        folder = tmp_path / str(number)
        folder.mkdir()
        made(write(folder, layers), ConvertOptions(at_once=at_once))
        published: Scores = lambda s, x: papers_scores(s, x, 8, at_once=True)  # noqa: E731
        assert agreement(folder / "made", state, published) >= AGREEMENT


@pytest.mark.parametrize("norm", ["after_pool", "before_pool"])
@torch.inference_mode()
def test_fcn_alexnet_gives_the_published_labels(tmp_path: Path, norm: str) -> None:
    state = filled(alexnet_shapes(NARROW_ALEXNET))
    state["upscore.weight"] = torch.zeros_like(state["upscore.weight"])
    ramp = 1 - (torch.arange(63) - 31).abs() / 32
    state["upscore.weight"][range(21), range(21)] = torch.outer(ramp, ramp)
    layers = layers_of(state)
    order = ("pool1", "norm1") if norm == "after_pool" else ("norm1", "pool1")
    layers[3:3] = [CaffeLayer(name, "other") for name in order]
    config = made(write(tmp_path, layers))
    assert config.architecture == "fcn32s-alexnet"
    assert config.alexnet is not None
    assert (config.alexnet.groups, config.alexnet.response_norm) == (2, norm)
    assert config.upsampling.last == "bilinear"
    found = agreement(tmp_path / "made", state, lambda s, x: alexnet_scores(s, x, norm))
    assert found >= AGREEMENT


@pytest.mark.parametrize(
    ("classes", "module", "mean", "named"),
    [
        pytest.param(40, "nyud_layers", NYUD_MEAN, "wall", id="nyud"),
        pytest.param(40, "", NYUD_MEAN, "wall", id="nyud-by-its-classes"),
        pytest.param(60, "pascalcontext_layers", VOC_MEAN, "background", id="pascal-context"),
        pytest.param(33, "siftflow_layers", SIFT_FLOW_MEAN, "awning", id="siftflow"),
    ],
)
@torch.inference_mode()
def test_each_data_set_has_its_classes_and_its_mean(
    tmp_path: Path, classes: int, module: str, mean: tuple[float, ...], named: str
) -> None:
    state = with_classes(port_state(32, "bilinear"), classes)
    layers = layers_of(state)
    layers[0].python = (module, "{'split': 'train', 'tops': ['color', 'label']}")
    config = made(write(tmp_path, layers))
    assert (len(config.classes), config.classes[0]) == (classes, named)
    assert config.normalisation.mean == pytest.approx(mean[::-1], abs=1e-3)
    found = agreement(tmp_path / "made", state, lambda s, x: papers_scores(s, x, 32), mean)
    assert found >= AGREEMENT


def test_the_mean_in_a_data_layer_precedes_its_data_sets(tmp_path: Path) -> None:
    layers = layers_of(port_state(32, "bilinear"))
    layers[0].python = ("nyud_layers", "{'mean': (1.5, 2, 3.25), 'seed': 1337}")
    assert made(write(tmp_path, layers)).normalisation.mean == (3.25, 2, 1.5)


@pytest.mark.parametrize(("head", "classes"), [("semantic", 33), ("geometric", 3)])
@torch.inference_mode()
def test_either_head_of_a_network_with_two_is_taken(
    tmp_path: Path, head: str, classes: int
) -> None:
    both: dict[str, Tensor] = {}
    heads = {}
    for suffix, count in (("sem", 33), ("geo", 3)):
        heads[suffix] = with_classes(port_state(8, "bilinear"), count)
        for name, tensor in heads[suffix].items():
            layer, _, part = name.partition(".")
            own = layer.startswith(("score", "upscore"))
            both[f"{layer}_{suffix}.{part}" if own else name] = tensor
    file = write(tmp_path, layers_of(both))
    config = made(file, ConvertOptions(head=head))  # type: ignore[arg-type]  # a parameter
    assert len(config.classes) == classes
    assert ("horizontal" in config.classes) == (head == "geometric")
    published: Scores = lambda s, x: papers_scores(s, x, 8)  # noqa: E731
    found = agreement(tmp_path / "made", heads[head[:3]], published, SIFT_FLOW_MEAN)
    assert found >= AGREEMENT


@pytest.mark.parametrize("version", ["v2", "v0"])
def test_a_vgg16_of_caffe_becomes_the_start_of_an_fcn(tmp_path: Path, version: str) -> None:
    theirs = {theirs: ours for ours, theirs in torchvision_names().items()}
    published = filled(torchvision_shapes(NARROW))
    state = {theirs[name]: tensor for name, tensor in published.items() if name in theirs}
    state["fc8.weight"], state["fc8.bias"] = torch.ones(1000, 16), torch.ones(1000)
    config = made(write(tmp_path, layers_of(state, stem_pad=1), version), ConvertOptions(stride=8))
    assert config.architecture == "fcn8s-vgg16"
    weights = load_file(tmp_path / "made" / config.weights)
    assert torch.equal(weights["conv1_1.weight"].flip(1), state["conv1_1.weight"])
    assert torch.equal(weights["fc6.weight"].flatten(1), state["fc6.weight"])
    assert not weights["score_pool3.weight"].any()


def test_torchvisions_alexnet_becomes_an_fcn32s(tmp_path: Path) -> None:
    state = filled(torchvision_alexnet_shapes(NARROW_ALEXNET))
    file = tmp_path / "alexnet.pth"
    torch.save(state, file)
    config = made(file)
    assert config.architecture == "fcn32s-alexnet"
    assert config.alexnet is not None
    assert (config.alexnet.groups, config.alexnet.response_norm) == (1, "none")
    assert config.normalisation.mean == pytest.approx((123.675, 116.28, 103.53))
    weights = load_file(tmp_path / "made" / config.weights)
    assert torch.equal(weights["conv1.weight"], state["features.0.weight"])
    assert torch.equal(weights["conv5.bias"], state["features.10.bias"])
    assert torch.equal(weights["fc6.weight"].flatten(1), state["classifier.1.weight"])
    again = convert(tmp_path / "made" / config.weights, tmp_path / "again", ConvertOptions())[1]
    assert again.alexnet == config.alexnet


def test_doubles_and_kernels_stored_by_class_are_read(tmp_path: Path) -> None:
    state = port_state(16, "per_class")
    file = write(tmp_path, layers_of(state))
    expected = read_network(file).weights
    for name in ("upscore2.weight", "upscore16.weight"):
        state[name] = state[name][range(21), range(21)][:, None]
    file.write_bytes(caffemodel(layers_of(state), doubles=True))
    found = read_network(file).weights
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"pad": 81}, "pads photos by 81", id="other-padding"),
        pytest.param({"stride": 8}, "a stride of its own", id="stride"),
        pytest.param({"same_padding": True}, "without padding by 100", id="same-padding"),
        pytest.param({"at_once": True}, "at once", id="at-once"),
        pytest.param({"head": "geometric"}, "one head", id="head"),
        pytest.param({"settings": "{'tops': ['hha', 'label']}"}, "reads depth", id="hha"),
        pytest.param({"extra": "conv1_1_bgrd"}, "reads depth", id="depth"),
        pytest.param({"extra": "conv2_1"}, "conv2_1 is there twice", id="layer-twice"),
        pytest.param({"extra": "odd"}, "unexpected odd.weight", id="unknown-layer"),
    ],
)
def test_what_cannot_be_converted_is_named(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    layers = layers_of(port_state(32, "bilinear"))
    options = {key: value for key, value in change.items() if key in ConvertOptions.__slots__}
    layers[1].pad = int(str(change.get("pad", 100)))
    layers[0].python = ("nyud_layers", str(change.get("settings", "")))
    if extra := change.get("extra"):
        layers.append(CaffeLayer(str(extra), blobs=[torch.ones(2, 2)]))
    with pytest.raises(CheckpointError, match=message):
        made(write(tmp_path, layers), ConvertOptions(**options))  # type: ignore[arg-type]  # parameters
    assert not (tmp_path / "made").exists()


def blob_of(*dimensions: int, numbers: int = 1) -> bytes:
    shape = bytes_field(7, b"".join(integer_field(1, each) for each in dimensions))
    return bytes_field(100, bytes_field(7, shape + bytes_field(5, bytes(4 * numbers))))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", "cannot be read", id="empty"),
        pytest.param(b'name: "FCN"\nlayer {\n', "no caffe network", id="prototxt"),
        pytest.param(b"\x89HDF\r\n\x1a\n", "snapshot_format: BINARYPROTO", id="hdf5"),
        pytest.param(bytes_field(1, b"FCN"), "holds no layers", id="no-layers"),
        pytest.param(b"\xff" * 40, "does not end", id="endless-integer"),
        pytest.param(b"\xa2\x06\xff\xff\xff\xff\x0f", "bytes", id="longer-than-the-file"),
        pytest.param(b"\xa0\x06\x01", "integer for a message", id="integer-layer"),
        pytest.param(bytes_field(100, bytes_field(1, b"\xff")), "no UTF-8", id="name"),
        pytest.param(bytes_field(100, bytes_field(1, b"a\x1b[2J")), "printable", id="control"),
        pytest.param(blob_of(2**62, 2**62), "bytes of numbers", id="huge-shape"),
        pytest.param(blob_of(2**64 - 1), "bytes of numbers", id="negative-size"),
        pytest.param(blob_of(*[1] * 33), "32 dimensions", id="dimensions"),
        pytest.param(b"\xa2\x06\x00" * 10_001, "10000 layers", id="layers"),
        pytest.param(bytes_field(100, b"\x3a\x00" * 17), "bytes of numbers", id="empty-blobs"),
    ],
)
def test_a_hostile_file_ends_in_a_clear_error(tmp_path: Path, body: bytes, message: str) -> None:
    file = tmp_path / "hostile.caffemodel"
    file.write_bytes(body)
    with pytest.raises(CheckpointError, match=message):
        convert(file, tmp_path / "made", ConvertOptions())


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_network(tmp_path / "absent.caffemodel")


def test_a_cut_file_with_changed_bytes_is_rejected(tmp_path: Path) -> None:
    good = caffemodel(layers_of(with_classes(port_state(32, "bilinear"), 3))[:8])
    file, draw = tmp_path / "changed.caffemodel", random.Random(0)
    for _ in range(CHANGES):
        changed = bytearray(good)
        for most in (200, 200, len(changed)):  # most of them where layers have their names
            changed[draw.randrange(most)] = draw.randrange(256)
        file.write_bytes(changed[: draw.randrange(1, len(changed))])
        with suppress(CheckpointError):
            read_network(file)
            pytest.fail("half of a network was read as a whole one")


def test_memory_is_bounded_by_the_files_size(tmp_path: Path) -> None:
    """Numbers that are not packed, and settings of millions of them, make no object each."""
    numbers = (b"\x2d" + bytes(4)) * 20_000  # data, one by one
    pads = bytes_field(106, bytes_field(3, bytes(100_000)))
    layer = bytes_field(100, bytes_field(7, numbers) + pads)
    file = tmp_path / "wide.caffemodel"
    file.write_bytes(layer)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match="bytes of numbers"):
            read_network(file)
        assert tracemalloc.get_traced_memory()[1] < 2 * len(layer)
    finally:
        tracemalloc.stop()
