"""Published checkpoints are converted to model folders with the same scores."""

import pickle
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from typer.testing import CliRunner

from handlers.model_config import load_config
from handlers.net import ARCHITECTURES
from handlers.net.options import Kernels, LiteOptions, Skips, Stride, Upsampling, VggOptions
from handlers.runtime.network import Network
from handlers.runtime.network_cpu import CpuNetwork
from handlers.runtime.upsample.processor import ScoreGrid
from handlers.runtime.weights import load_net
from model_store.tools.convert.architecture import ConvertOptions, SourceNetwork
from model_store.tools.convert.convert import convert
from model_store.tools.convert.layouts import detect
from model_store.tools.convert.state_dict import CheckpointError, read_checkpoint
from model_store.tools.convert.torchvision_vgg import torchvision_names
from service.cli.main import app
from tests.support.paper import papers_scores
from tests.support.published import (
    LITE_STAGES,
    NARROW,
    filled,
    lite_shapes,
    port_shapes,
    port_state,
    torchvision_shapes,
)
from tests.support.toys import NARROW_VGG, randomised
from tests.support.worker import MODEL, Pixels, cpu, sample

CAFFE_MEAN_BGR = np.array([104.00698793, 116.66876762, 122.67891434])
AGREEMENT = 0.999
# of both sample photos
SIZES = [(1, 1), (17, 33), (32, 32), (64, 48), (61, 83), (90, 70), (100, 141), (128, 96)]
SIZES += [(150, 60), (40, 160)]

each_stride = pytest.mark.parametrize("stride", [32, 16, 8])


def crops() -> list[Pixels]:
    """Cut ten sizes out of the two sample photos, alternately."""
    photos = sample("cat"), sample("astronaut")
    return [
        photos[number % 2][100 : 100 + height, 120 : 120 + width]
        for number, (height, width) in enumerate(SIZES)
    ]


def saved(folder: Path, state: object, name: str = "checkpoint.pth") -> Path:
    file = folder / name
    torch.save(state, file)
    return file


def published_labels(
    state: dict[str, Tensor], photo: Pixels, stride: int, *, at_once: bool = False
) -> Pixels:
    """Label a photo like the port's scripts: BGR, minus the mean."""
    values = photo[:, :, ::-1].astype(np.float64) - CAFFE_MEAN_BGR
    x = torch.from_numpy(values.transpose(2, 0, 1).copy()).float()[None]
    scores = papers_scores(state, x, stride, at_once=at_once)
    return scores[0].argmax(0).to(torch.uint8).numpy()


def served_labels(network: Network, photo: Pixels) -> Pixels:
    size = (photo.shape[0], photo.shape[1])
    scores = network.scores([photo], network.frame(size))[0]
    labels: Pixels = ScoreGrid(scores, network.score_placement, size, size).labels().numpy()
    return labels


def agreement(
    folder: Path, state: dict[str, Tensor], stride: int, *, at_once: bool = False
) -> tuple[float, set[int]]:
    """Compare labels over all sizes: the worst share that agrees, and the classes that occur."""
    network = CpuNetwork(load_config(folder), folder, cpu("fp32"))
    worst, classes = 1.0, set[int]()
    for photo in crops():
        expected = published_labels(state, photo, stride, at_once=at_once)
        worst = min(worst, float((served_labels(network, photo) == expected).mean()))
        classes |= set(expected.flatten().tolist())
    return worst, classes


@pytest.mark.parametrize("kernels", ["bilinear", "per_class", "dense"])
@each_stride
@torch.inference_mode()
def test_a_converted_network_gives_the_published_labels(
    tmp_path: Path, stride: int, kernels: str
) -> None:
    state = port_state(stride, kernels)
    folder = tmp_path / "converted"
    found, config = convert(saved(tmp_path, state), folder, ConvertOptions())
    assert config.architecture == f"fcn{stride}s-vgg16"
    between = "bilinear" if stride == 32 else kernels
    assert found.upsampling == Upsampling.model_validate({"between": between, "last": kernels})
    worst, classes = agreement(folder, state, stride)
    assert worst >= AGREEMENT
    assert len(classes) > 3


def test_a_converted_network_has_a_larger_working_size_and_readable_files(tmp_path: Path) -> None:
    folder = tmp_path / "converted"
    _, config = convert(saved(tmp_path, port_state(8)), folder, ConvertOptions())
    assert (config.working_max_side, config.precision.cpu) == (1024, "fp32")
    assert "reduced to working_max_side" in (folder / "model.yaml").read_text()
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}


@torch.inference_mode()
def test_at_once_scales_the_scores_of_pools(tmp_path: Path) -> None:
    state = port_state(8)
    for name in ("score_pool4", "score_pool3"):  # so that they still change labels
        state[f"{name}.weight"] *= 100
    folder = tmp_path / "converted"
    convert(saved(tmp_path, state), folder, ConvertOptions(at_once=True))
    assert agreement(folder, state, 8, at_once=True)[0] >= AGREEMENT
    plain = tmp_path / "plain"
    convert(saved(tmp_path, state), plain, ConvertOptions())
    assert agreement(plain, state, 8, at_once=True)[0] < AGREEMENT


@each_stride
def test_names_and_shapes_are_the_published_ones(stride: int) -> None:
    trained = Upsampling(between="dense", last="dense")
    net = SourceNetwork("", f"fcn{stride}s-vgg16", 21, VggOptions(), trained)
    assert net.shapes() == port_shapes(stride)


def test_our_names_map_to_torchvisions_names_and_shapes() -> None:
    """torchvision numbers layers, and flattens fully connected ones: (4096, 25088)."""
    net = SourceNetwork("", "fcn32s-vgg16", 21, VggOptions())
    published = torchvision_shapes()
    assert published["classifier.0.weight"] == (4096, 25088)
    shapes = net.shapes()
    for ours, theirs in torchvision_names().items():
        assert torch.Size(shapes[ours]).numel() == torch.Size(published[theirs]).numel()
    last = {"classifier.6.weight", "classifier.6.bias"}
    assert set(torchvision_names().values()) == set(published) - last


@pytest.mark.parametrize("same_padding", [False, True])
def test_torchvisions_vgg16_becomes_an_fcn32s(tmp_path: Path, same_padding: bool) -> None:
    state = filled(torchvision_shapes(NARROW))
    folder = tmp_path / "start"
    options = ConvertOptions(same_padding=same_padding)
    _, config = convert(saved(tmp_path, state), folder, options, ["road", "sky"])
    assert config.architecture == "fcn32s-vgg16"
    assert config.vgg16 is not None
    assert config.vgg16.padding == ("same" if same_padding else 100)
    assert config.classes == ("road", "sky")
    assert config.normalisation.mean == pytest.approx((123.675, 116.28, 103.53))
    weights = load_file(folder / "weights.safetensors")
    assert torch.equal(weights["conv5_3.weight"], state["features.28.weight"])
    assert torch.equal(weights["fc6.weight"].flatten(1), state["classifier.0.weight"])
    assert not weights["score_fr.weight"].any()
    network = CpuNetwork(config, folder, cpu("fp32"))
    assert served_labels(network, sample("cat")[:40, :50]).shape == (40, 50)


@pytest.mark.parametrize("stride", [16, 8])
def test_a_classifier_becomes_an_fcn_of_the_given_stride(tmp_path: Path, stride: Stride) -> None:
    state = filled(torchvision_shapes(NARROW))
    folder = tmp_path / "start"
    _, config = convert(saved(tmp_path, state), folder, ConvertOptions(stride=stride))
    assert config.architecture == f"fcn{stride}s-vgg16"
    weights = load_file(folder / "weights.safetensors")
    scores = ["score_fr", "score_pool4", *(["score_pool3"] if stride == 8 else [])]
    assert {name for name in weights if name.startswith("score")} == {
        f"{layer}.{part}" for layer in scores for part in ("weight", "bias")
    }
    assert not any(weights[f"{layer}.weight"].any() for layer in scores)


@pytest.mark.parametrize("skips", ["project", "expand"])
@pytest.mark.parametrize("name", LITE_STAGES)
def test_each_lite_is_detected_by_its_shapes(name: str, skips: Skips) -> None:
    state = {key: torch.zeros(shape) for key, shape in lite_shapes(name).items()}
    found = detect(state, ConvertOptions(stride=8, lite=LiteOptions(skips=skips)))
    assert (found.description, found.architecture) == (
        f"an EfficientNet-{name.capitalize()} classifier",
        f"fcn8s-{name}",
    )
    assert found.weights["score_pool3.weight"].shape[1] == (
        LITE_STAGES[name][1][2] * (6 if skips == "expand" else 1)
    )
    again = detect(found.weights)  # ours now, without a model.yaml
    assert (again.architecture, again.options) == (found.architecture, found.options)
    assert found.options == (LiteOptions(skips="expand") if skips == "expand" else None)


def test_the_message_for_a_damaged_lite_names_its_member() -> None:
    state = {key: torch.zeros(shape) for key, shape in lite_shapes("lite2").items()}
    del state["_conv_head.weight"]
    state["_blocks.20._bn2.bias"] = torch.zeros(320)
    with pytest.raises(CheckpointError) as caught:
        detect(state)
    assert str(caught.value).splitlines() == [
        "this looks like an EfficientNet-Lite2 classifier, but:",
        "  missing _conv_head.weight (1280, 352, 1, 1)",
        "  _blocks.20._bn2.bias has shape (320,), not (352,)",
    ]


def test_wider_skips_are_written_to_model_yaml(tmp_path: Path) -> None:
    state = {key: torch.ones(shape) for key, shape in lite_shapes("lite0").items()}
    wide, narrow = tmp_path / "wide", tmp_path / "narrow"
    file = saved(tmp_path, state)
    _, config = convert(file, wide, ConvertOptions(stride=8, lite=LiteOptions(skips="expand")))
    assert load_config(wide).lite == config.lite == LiteOptions(skips="expand")
    assert convert(wide, tmp_path / "again", ConvertOptions())[1].lite == config.lite
    convert(file, narrow, ConvertOptions(stride=8))
    assert load_config(narrow).lite is None


def test_a_model_of_ours_keeps_its_model_yaml(tmp_path: Path) -> None:
    folder = tmp_path / "renamed"
    _, config = convert(MODEL, folder, ConvertOptions())
    before = load_config(MODEL)
    assert config == before.model_copy(update={"name": "renamed"})
    ours, theirs = load_file(folder / config.weights), load_file(MODEL / before.weights)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_weights_of_ours_alone_are_detected_by_their_names(tmp_path: Path) -> None:
    file = tmp_path / "best.safetensors"
    save_file(load_file(MODEL / "weights.safetensors"), file)
    _, config = convert(file, tmp_path / "mine", ConvertOptions())
    assert config.architecture == "fcn8s-lite0"
    assert config.classes[-1] == "tvmonitor"
    assert config.palette == load_config(MODEL).palette


@pytest.mark.parametrize("kernels", ["bilinear", "per_class"])
def test_a_vgg16_of_ours_alone_takes_its_padding_from_the_options(
    tmp_path: Path, kernels: Kernels
) -> None:
    upsampling = Upsampling(between=kernels, last=kernels)
    net = randomised(ARCHITECTURES["fcn16s-vgg16"](5, NARROW_VGG, upsampling))
    state = {name.removeprefix("backbone."): value for name, value in net.state_dict().items()}
    folder = tmp_path / "mine"
    _, config = convert(saved(tmp_path, state), folder, ConvertOptions(same_padding=True))
    assert (config.architecture, config.vgg16) == ("fcn16s-vgg16", NARROW_VGG)
    assert config.upsampling == upsampling
    assert config.classes == ("class0", "class1", "class2", "class3", "class4")
    photo = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    assert torch.equal(load_net(config, folder / config.weights)(photo), net(photo))


def test_a_converted_network_can_be_converted_again(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    _, config = convert(saved(tmp_path, port_state(8, "dense")), first, ConvertOptions())
    _, again = convert(first, second, ConvertOptions())
    assert again == config.model_copy(update={"name": "second"})
    one, other = load_file(first / config.weights), load_file(second / again.weights)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("wrapping", ["model_state_dict", "state_dict", "parallel"])
def test_wrapped_state_dicts_are_unwrapped(tmp_path: Path, wrapping: str) -> None:
    state = port_state(32, "bilinear")
    wrapped: dict[str, object] = {wrapping: state, "epoch": 3}
    if wrapping == "parallel":
        wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    _, config = convert(saved(tmp_path, wrapped), tmp_path / "converted", ConvertOptions())
    assert config.architecture == "fcn32s-vgg16"


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "pickles"])
def test_a_training_checkpoint_of_the_port_is_read(tmp_path: Path, zipped: bool) -> None:
    state, file = port_state(16), tmp_path / "model_best.pth.tar"
    checkpoint = {
        "epoch": 3,
        "arch": "FCN16s",
        "best_mean_iu": np.float64(0.5),
        "model_state_dict": state,
    }
    torch.save(checkpoint, file, _use_new_zipfile_serialization=zipped)
    assert read_checkpoint(file).keys() == state.keys()


class Trap:
    """An object whose unpickling would write a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self._file,)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_no_code_of_a_checkpoint_is_run(tmp_path: Path, how: str) -> None:
    written, file = tmp_path / "written", tmp_path / "trap.pth"
    state = port_state(32, "bilinear") | {"trap": Trap(written)}
    if how == "torch":
        torch.save(state, file)
    else:
        file.write_bytes(pickle.dumps(state["trap"], protocol=2))
    with pytest.raises(CheckpointError, match="without running its code") as error:
        convert(file, tmp_path / "converted", ConvertOptions())
    assert not written.exists()
    assert_advice_is_safe(str(error.value))


def assert_advice_is_safe(message: str) -> None:
    """Torch's own message, which explains how to run the code, is not passed on."""
    assert "weights_only" not in message
    assert "trust" not in message
    assert "safetensors" in message


def test_a_scripted_network_is_rejected_without_the_advice_of_torch(tmp_path: Path) -> None:
    file = tmp_path / "scripted.pt"
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), str(file))
    with pytest.raises(CheckpointError) as error:
        convert(file, tmp_path / "converted", ConvertOptions())
    assert_advice_is_safe(str(error.value))


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04" + bytes(100)], ids=repr)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_file_that_is_no_checkpoint_is_rejected(
    tmp_path: Path, suffix: str, content: bytes
) -> None:
    file = tmp_path / f"checkpoint.{suffix}"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"checkpoint\.{suffix} holds no tensors"):
        convert(file, tmp_path / "converted", ConvertOptions())


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no file .*nowhere\.pth"):
        convert(tmp_path / "nowhere.pth", tmp_path / "converted", ConvertOptions())


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_file_with_a_changed_byte_is_read_or_rejected(tmp_path: Path) -> None:
    """torch's older format is a sequence of pickles, whose reader fails in a dozen ways."""
    state = {"a": torch.ones(3), "b": torch.ones(2, 2)}
    file, generator = tmp_path / "changed.pth", random.Random(0)
    torch.save(state, file, _use_new_zipfile_serialization=False)
    original, rejected = file.read_bytes(), 0
    for _ in range(300):
        changed = bytearray(original)
        changed[generator.randrange(len(original))] = generator.randrange(256)
        file.write_bytes(changed)
        try:
            read_checkpoint(file)
        except CheckpointError:
            rejected += 1
    assert 0 < rejected < 300


def test_the_message_lists_all_that_does_not_match(tmp_path: Path) -> None:
    state = port_state(8)
    del state["conv4_2.bias"]
    state["score_pool3.weight"] = torch.zeros(21, 9, 1, 1)
    state["extra.weight"] = torch.zeros(2, 3)
    with pytest.raises(CheckpointError) as caught:
        convert(saved(tmp_path, state), tmp_path / "converted", ConvertOptions())
    assert str(caught.value).splitlines() == [
        "this looks like the PyTorch port's FCN8s, but:",
        "  missing conv4_2.bias (12,)",
        "  score_pool3.weight has shape (21, 9, 1, 1), not (21, 10, 1, 1)",
        "  unexpected extra.weight (2, 3)",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pth"]


def test_a_missing_layer_is_reported_by_torchvisions_name() -> None:
    state = filled(torchvision_shapes(NARROW))
    del state["features.28.weight"]
    state["classifier.0.weight"] = state["classifier.0.weight"][:, :-49]
    with pytest.raises(CheckpointError) as caught:
        detect(state)
    assert "missing features.28.weight (12, 12, 3, 3)" in str(caught.value)
    assert "classifier.0.weight has shape (16, 539), not (16, 588)" in str(caught.value)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        pytest.param({"encoder.weight": torch.zeros(1)}, "encoder.weight", id="unknown-names"),
        pytest.param({}, "no state dict", id="empty"),
        pytest.param([torch.zeros(1)], "no state dict", id="list"),
        pytest.param({"epoch": 3}, "other things than tensors: epoch", id="no-tensors"),
    ],
)
def test_a_file_without_a_known_network_is_rejected(
    tmp_path: Path, state: object, message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        convert(saved(tmp_path, state), tmp_path / "converted", ConvertOptions())


@pytest.mark.parametrize("first", ["conv1_1.weight", "upscore8.weight", "score_fr.weight"])
def test_a_published_network_is_detected_without_any_one_of_its_layers(first: str) -> None:
    state = port_state(8)
    del state[first]
    with pytest.raises(CheckpointError) as caught:
        detect(state)
    assert "conv3_2.weight" not in str(caught.value)
    assert f"missing {first}" in str(caught.value)


def test_options_beside_a_model_yaml_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="leave options out"):
        convert(MODEL, tmp_path / "renamed", ConvertOptions(), ["road", "sky"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(ConvertOptions(stride=8), "a stride of its own", id="stride"),
        pytest.param(
            ConvertOptions(lite=LiteOptions(skips="expand")), "skips are chosen", id="skips"
        ),
    ],
)
def test_options_without_effect_on_an_fcn_are_rejected(
    options: ConvertOptions, message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        detect(port_state(8), options)


def test_the_padding_of_a_published_network_cannot_be_chosen() -> None:
    with pytest.raises(CheckpointError, match="pads photos by 100"):
        detect(port_state(8), ConvertOptions(same_padding=True))


def test_only_published_networks_with_skips_can_be_trained_at_once() -> None:
    with pytest.raises(CheckpointError, match="at once"):
        detect(port_state(32), ConvertOptions(at_once=True))


def test_another_number_of_class_names_is_rejected(tmp_path: Path) -> None:
    file = saved(tmp_path, port_state(32))
    with pytest.raises(CheckpointError, match="2 classes are named, but this network scores 21"):
        convert(file, tmp_path / "converted", ConvertOptions(), ["road", "sky"])


def test_the_command_prints_what_it_made(tmp_path: Path) -> None:
    file, folder = saved(tmp_path, port_state(16)), tmp_path / "made"
    command = ["model", "convert", str(file), "--to", str(folder)]
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 0, found.output
    assert "fcn16s-vgg16 with 21 classes, from the PyTorch port's FCN16s" in found.output
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 1
    assert "is there already" in again.output
