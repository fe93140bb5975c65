"""What is scored unless a list is named: photos that the model has not learned from."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_store.tools.dataset.held_out import RUN, choose, copy_notes, note
from model_store.tools.dataset.labelled import DataError
from model_store.tools.train.data.split import split
from model_store.tools.train.data.toy import draw


@pytest.fixture
def data(tmp_path: Path) -> Path:
    draw(tmp_path / "discs", photos=12)
    return tmp_path / "discs"


@pytest.fixture
def model(data: Path, tmp_path: Path) -> Path:
    """A model's folder, trained on the data."""
    run = tmp_path / "model" / RUN
    (run / "best").mkdir(parents=True)
    note(split(data).val, run)
    return run.parent


def names(data: Path, listed: Path | None, folder: Path | None) -> list[str]:
    return [pair.name for pair in choose(data, listed, folder).pairs]


def test_what_the_models_own_training_held_out_is_scored(data: Path, model: Path) -> None:
    for folder in (model, model / RUN / "best"):
        chosen = choose(data, None, folder)
        assert [pair.name for pair in chosen.pairs] == ["toy000", "toy010"]
        assert chosen.why.startswith("the 2 photos held out in its training (")


def test_it_is_scored_though_the_data_have_moved_and_grown(
    data: Path, model: Path, tmp_path: Path
) -> None:
    moved = data.rename(tmp_path / "moved")
    for kind, suffix in (("images", "jpg"), ("masks", "png")):
        first = moved / kind / f"toy001.{suffix}"
        first.with_stem("aaa").write_bytes(first.read_bytes())
    assert names(moved, None, model) == ["toy000", "toy010"]


def test_other_photos_of_the_same_names_are_all_scored(model: Path, tmp_path: Path) -> None:
    draw(tmp_path / "others", photos=12, seed=1)
    chosen = choose(tmp_path / "others", None, model)
    assert len(chosen.pairs) == 12
    assert "all 12 photos, any that it was trained on too; " in chosen.why
    assert "training held out photos of another data set" in chosen.why


def test_photos_with_the_runs_names_that_are_all_others_are_all_scored(
    model: Path, data: Path
) -> None:
    for name in ("toy000", "toy010"):
        save_again(data / "images" / f"{name}.jpg")
    assert len(names(data, None, model)) == 12


def save_again(photo: Path) -> None:
    Image.fromarray(np.zeros((192, 256, 3), np.uint8)).save(photo)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(save_again, id="saved again"),
        pytest.param(Path.unlink, id="deleted"),
        pytest.param(lambda photo: photo.rename(photo.with_name("aaa.jpg")), id="renamed"),
    ],
)
def test_of_photos_held_out_those_that_are_as_they_were_are_scored(
    data: Path, model: Path, change: Callable[[Path], object]
) -> None:
    change(data / "images" / "toy000.jpg")
    chosen = choose(data, None, model)
    assert [pair.name for pair in chosen.pairs] == ["toy010"]
    assert chosen.why.startswith("the 1 photos held out in its training (")
    assert chosen.why.endswith("; 1 other gone or changed since)")


def test_notes_beside_the_weights_come_before_those_of_a_later_run(data: Path, model: Path) -> None:
    copy_notes(model / RUN, model)
    note(split(data).train, model / RUN)  # whose weights were no better
    assert names(data, None, model) == ["toy000", "toy010"]


def test_a_models_folder_may_be_the_runs_too(data: Path, model: Path) -> None:
    copy_notes(model / RUN, model / RUN)
    assert names(data, None, model) == ["toy000", "toy010"]


def test_a_list_comes_before_all_else_and_the_datas_own_after_the_models(
    data: Path, model: Path, tmp_path: Path
) -> None:
    (data / "val.txt").write_text("toy003\n")
    (tmp_path / "list.txt").write_text("toy005\ntoy006\n")
    assert names(data, tmp_path / "list.txt", model) == ["toy005", "toy006"]
    assert names(data, None, model) == ["toy000", "toy010"]
    assert names(data, None, None) == ["toy003"]
    assert names(data, None, tmp_path / "untrained") == ["toy003"]


def test_without_any_list_all_are_scored_and_it_is_said(data: Path) -> None:
    chosen = choose(data, None, None)
    assert (len(chosen.pairs), chosen.why) == (
        12,
        "all 12 photos, any that it was trained on too",
    )


def test_a_list_that_is_not_there_is_told_of(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.txt cannot be read"):
        choose(data, tmp_path / "none.txt", None)
