"""`fcnserve model check` reports what is wrong with a folder, and segments a photo with it."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from handlers.model_config import load_config
from model_store.tools.check.check import check
from service.cli.main import app
from tests.support.worker import MODEL, SAMPLES, change_model

OURS = load_config(MODEL)

PETS = ("background", "cat", "dog")

# no batches to warm up
QUICK = {"batch_size": {"cpu": 1}, "ladder": {"cpu": [128]}}

Change = Callable[[dict[str, torch.Tensor]], object]


def change_weights(folder: Path, how: Change) -> None:
    file = folder / "weights.safetensors"
    weights = load_file(file)
    how(weights)
    save_file(weights, file)


def run(*arguments: object) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, ["model", *map(str, arguments)])
    return found.exit_code, found.stdout, found.stderr


def test_the_model_of_this_project_has_no_errors_or_warnings() -> None:
    found = check(MODEL)
    assert (found.errors, found.warnings) == ([], [])
    code, out, _ = run("check", MODEL)
    megabytes = (MODEL / OURS.weights).stat().st_size / 1e6
    assert (code, out) == (
        0,
        (
            f"{OURS.name} {OURS.version} can be served: {OURS.architecture}, {len(OURS.classes)} "
            f"classes, {megabytes:.1f} MB of weights\n"
        ),
    )


def test_a_new_model_can_be_served_and_its_card_is_a_warning(pets: Path) -> None:
    found = check(pets)
    assert found.errors == []
    (warning,) = found.warnings
    assert warning == f"{pets}/CARD.md has yet to be filled in"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        pytest.param(
            {"classes": ["background", "cat"]}, "palette has 3 colours for 2 classes", id="palette"
        ),
        pytest.param(
            {"batchin": {}}, "batchin: there is no such key; did you mean batching?", id="key"
        ),
        pytest.param(
            {"batching": {"batchsize": 1}},
            "batching.batchsize: there is no such key; did you mean batch_size?",
            id="key-of-a-part",
        ),
        pytest.param(
            {"batching": {"ladder": {"tpu0": []}}},
            "batching.ladder.tpu0: there is no such key; there are cpu, cuda",
            id="key-of-a-parts-part",
        ),
        pytest.param({"architecture": None}, "architecture: this key is missing", id="no-key"),
        pytest.param(
            {"working_max_side": 3},
            "working_max_side: Input should be greater than or equal to 32, and is '3'",
            id="value",
        ),
        pytest.param({"classes": ["a", "b,c", "d"]}, "'b,c' is no name", id="comma"),
        pytest.param({"lite": {"skip": "expand"}}, "did you mean skips?", id="optional-part"),
    ],
)
def test_a_wrong_key_is_named_with_what_was_seen(
    pets: Path, keys: dict[str, object], message: str
) -> None:
    change_model(pets, **keys)
    (error,) = check(pets).errors
    assert error.startswith(f"{pets}/model.yaml: ")
    assert message in error


def test_all_wrong_keys_are_named_at_once(pets: Path) -> None:
    change_model(pets, working_max_side=3, architecture="fcn8s-lite9", colour="red")
    (error,) = check(pets).errors
    assert len(error.splitlines()) == 4


def test_missing_weights_are_reported_with_their_expected_path(pets: Path) -> None:
    (pets / "weights.safetensors").unlink()
    (error,) = check(pets).errors
    assert error.startswith(f"no {pets}/weights.safetensors: `weights:` in model.yaml names it")


@pytest.mark.parametrize(
    ("how", "messages"),
    [
        pytest.param(
            lambda weights: weights.update(stem=weights.pop("stem.weight")),
            ["missing stem.weight (32, 3, 3, 3)", "unexpected stem (32, 3, 3, 3)"],
            id="name",
        ),
        pytest.param(
            lambda weights: weights.update({"stem.weight": torch.zeros(32, 3, 5, 5)}),
            ["stem.weight has shape (32, 3, 5, 5), not (32, 3, 3, 3)"],
            id="shape",
        ),
    ],
)
def test_weights_that_do_not_match_are_reported_key_by_key(
    pets: Path, how: Change, messages: list[str]
) -> None:
    change_weights(pets, how)
    (error,) = check(pets).errors
    head, *lines = error.splitlines()
    network = load_config(pets).architecture
    assert head == f"{pets}/weights.safetensors does not fit {network} with 3 classes:"
    assert [line.strip() for line in lines] == messages


def test_weights_for_other_classes_and_for_another_network_get_different_messages(
    pets: Path,
) -> None:
    change_model(pets, classes=["background", "cat"], palette=[[0, 0, 0], [0, 0, 255]])
    (error,) = check(pets).errors
    assert "score_fr.bias has shape (3,), not (2,)" in error
    assert "these weights score 3 classes" in error
    change_model(pets, architecture="fcn8s-lite4")
    assert "does not fit fcn8s-lite4 with 2 classes" in check(pets).errors[0]


def test_nan_weights_are_an_error(pets: Path) -> None:
    change_weights(pets, lambda weights: weights["score_fr.bias"].fill_(float("nan")))
    (error,) = check(pets).errors
    assert error.startswith("1 weights hold NaN or infinite numbers")


def test_a_file_that_is_no_safetensors_is_reported(pets: Path) -> None:
    (pets / "weights.safetensors").write_bytes(b"no tensors")
    code, out, err = run("check", pets)
    assert (code, out) == (1, "")
    assert "holds no tensors that can be read" in err


def test_what_a_worker_accepts_but_users_stumble_over_is_a_warning(pets: Path) -> None:
    change_model(pets, name="cats", palette=[[0, 0, 0], [250, 0, 0], [250, 1, 0]])
    (pets / "CARD.md").unlink()
    change_weights(
        pets, lambda weights: [w[1].zero_() for name, w in weights.items() if "score" in name]
    )
    code, out, err = run("check", pets)
    assert code == 0
    assert out.startswith("cats 1.0 can be served")
    for message in (
        "the model is cats, its folder pets",
        "cat and dog look alike: (250, 0, 0) and (250, 1, 0)",
        f"no {pets}/CARD.md",
        "scores nothing for cat: to be trained",
    ):
        assert message in err


def test_a_photos_mask_and_classes_are_written(pets: Path, tmp_path: Path) -> None:
    change_model(pets, batching=QUICK)
    mask = tmp_path / "mask.png"
    code, out, err = run("check", pets, "--photo", SAMPLES / "cat.jpg", "-o", mask)
    assert code == 0, err
    with Image.open(io.BytesIO(mask.read_bytes())) as image:
        labels = np.asarray(image)
    assert labels.shape == (300, 451)
    share = (labels == PETS.index("cat")).mean()
    assert share > 0.5
    assert f"found cat {share:.1%}" in out
    assert "cat.jpg in " in out


def test_a_missing_photo_is_reported_in_a_line(pets: Path, tmp_path: Path) -> None:
    change_model(pets, batching=QUICK)
    code, _, err = run("check", pets, "--photo", tmp_path / "none.jpg")
    assert code == 1
    assert "none.jpg" in err
    assert run("check", pets, "-o", tmp_path / "mask.png")[0] == 2


@pytest.mark.parametrize("name", ["mask.jpg", "mask"])
def test_a_mask_with_the_suffix_of_another_format_is_rejected(tmp_path: Path, name: str) -> None:
    code, _, err = run("check", tmp_path, "--photo", tmp_path / "x.jpg", "-o", tmp_path / name)
    assert code == 2
    assert "a mask is written as .png" in " ".join(err.replace("│", " ").split())
    assert not (tmp_path / name).exists()
