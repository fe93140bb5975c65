"""`model.yaml` is checked completely, and a message names the key to correct."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from handlers.model_config import ModelConfig, load_config
from tests.support.worker import CLASSES, MODEL, document, write_model

GREYS = [[level, level, level] for level in range(CLASSES)]


def test_the_repos_model_is_valid() -> None:
    config = load_config(MODEL)
    assert config.name == MODEL.name
    assert len(config.classes) == CLASSES
    assert len(config.palette_bytes) == 3 * CLASSES
    assert config.palette_bytes[3:6] == bytes([128, 0, 0])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        pytest.param({"clases": []}, ["clases"], id="unknown-key"),
        pytest.param({"batching": {"size": 4}}, ["batching.size"], id="unknown-inner-key"),
        pytest.param({"palette": GREYS[:20]}, ["palette", "20", "21"], id="short-palette"),
        pytest.param({"palette": [[0, 0, 256], *GREYS[1:]]}, ["palette.0.2"], id="colour-of-256"),
        pytest.param({"classes": ["only"]}, ["classes"], id="one-class"),
        pytest.param(
            {"architecture": "unet"},
            ["architecture", "unet", "fcn8s-lite4"],
            id="unknown-architecture",
        ),
        pytest.param(
            {"upsampling": {"last": "cubic"}}, ["upsampling.last"], id="unknown-upsampling"
        ),
        pytest.param(
            {"architecture": "fcn16s-lite0", "vgg16": {"padding": 100}},
            ["vgg16", "fcn16s-lite0"],
            id="options-of-another-backbone",
        ),
        pytest.param(
            {"architecture": "fcn8s-vgg16", "lite": {"skips": "expand"}},
            ["lite", "fcn8s-vgg16"],
            id="options-of-the-other-backbone",
        ),
        pytest.param({"lite": {"skips": "wide"}}, ["lite.skips"], id="unknown-skips"),
        pytest.param({"precision": {"cpu": "fp16"}}, ["precision.cpu"], id="fp16-on-a-cpu"),
        pytest.param(
            {"normalisation": {"std": [1, 0, 1]}}, ["normalisation.std.1"], id="division-by-zero"
        ),
        pytest.param(
            {"working_max_side": 1000, "max_side_limit": 900},
            ["working_max_side", "1000", "max_side_limit", "900"],
            id="working-size-above-the-limit",
        ),
        pytest.param({"working_max_side": 0}, ["working_max_side"], id="working-size-0"),
        pytest.param({"background": "void"}, ["background", "'void'"], id="unknown-background"),
        pytest.param({"weights": "../other/weights"}, ["weights"], id="weights-elsewhere"),
    ],
)
def test_an_error_names_its_key(changes: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        ModelConfig.model_validate(document(**changes))
    assert all(name in str(caught.value) for name in named)


@pytest.mark.parametrize(
    "name",
    ["", "a b", "a/b", "../a", ".a", "a\n", "a\r\nX-Evil: 1", "ä", "a" * 65, "a@b"],
    ids=ascii,
)
def test_a_name_that_is_no_file_name_or_header_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        ModelConfig.model_validate(document(name=name))


@pytest.mark.parametrize("text", ["", "- a list", "12"], ids=["empty", "list", "number"])
def test_a_document_that_is_no_mapping_is_a_validation_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.yaml").write_text(text)
    with pytest.raises(ValidationError, match="ModelConfig"):
        load_config(tmp_path)


def test_the_budget_is_the_devices(tmp_path: Path) -> None:
    budgets = {"group_pixels": {"cpu": 1, "cuda": 2}}
    group_pixels = load_config(write_model(tmp_path, batching=budgets)).batching.group_pixels
    assert (group_pixels.on("cpu"), group_pixels.on("cuda")) == (1, 2)


@pytest.mark.parametrize(
    ("changes", "background_id"),
    [
        pytest.param({}, 0, id="the-repos"),
        pytest.param({"background": "cat"}, 8, id="named"),
        pytest.param({"background": None}, None, id="none"),
    ],
)
def test_a_model_names_its_background_class(
    changes: dict[str, Any], background_id: int | None
) -> None:
    assert ModelConfig.model_validate(document(**changes)).background_id == background_id


@pytest.mark.parametrize(
    ("first", "background_id"),
    [("background", 0), ("Background", 0), ("road", None), ("back", None)],
)
def test_without_a_background_the_class_of_that_name_is_taken(
    first: str, background_id: int | None
) -> None:
    contents = document()
    contents.pop("background")
    contents["classes"] = [first, *contents["classes"][1:]]
    assert ModelConfig.model_validate(contents).background_id == background_id
