"""Without a list, a model is scored on the photos that it was not trained on."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_store.tools.dataset.errors import DataError
from model_store.tools.dataset.held_out import RUN, copy_lists, select, write_lists
from model_store.tools.dataset.toy import draw_data_set
from model_store.tools.train.data.split import split


@pytest.fixture
def data(tmp_path: Path) -> Path:
    draw_data_set(tmp_path / "discs", photos=12)
    return tmp_path / "discs"


@pytest.fixture
def model(data: Path, tmp_path: Path) -> Path:
    """Make a model's folder that was trained on the data."""
    run = tmp_path / "model" / RUN
    (run / "best").mkdir(parents=True)
    write_lists(split(data).val, run)
    return run.parent


def names(data: Path, listed: Path | None, folder: Path | None) -> list[str]:
    return [pair.name for pair in select(data, listed, folder).pairs]


def test_the_held_out_photos_of_the_models_training_are_scored(data: Path, model: Path) -> None:
    for folder in (model, model / RUN / "best"):
        selection = select(data, None, folder)
        assert [pair.name for pair in selection.pairs] == ["toy000", "toy010"]
        assert selection.reason.startswith("the 2 photos held out in its training (")


def test_held_out_photos_are_found_in_data_that_moved_and_grew(
    data: Path, model: Path, tmp_path: Path
) -> None:
    moved = data.rename(tmp_path / "moved")
    for kind, suffix in (("images", "jpg"), ("masks", "png")):
        first = moved / kind / f"toy001.{suffix}"
        first.with_stem("aaa").write_bytes(first.read_bytes())
    assert names(moved, None, model) == ["toy000", "toy010"]


def test_other_photos_of_the_same_names_are_all_scored(model: Path, tmp_path: Path) -> None:
    draw_data_set(tmp_path / "others", photos=12, seed=1)
    selection = select(tmp_path / "others", None, model)
    assert len(selection.pairs) == 12
    assert "all 12 photos, any that it was trained on too; " in selection.reason
    assert "training held out photos of another data set" in selection.reason


def test_all_photos_are_scored_where_every_held_out_one_has_changed(
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
def test_unchanged_held_out_photos_are_scored_and_the_others_counted(
    data: Path, model: Path, change: Callable[[Path], object]
) -> None:
    change(data / "images" / "toy000.jpg")
    selection = select(data, None, model)
    assert [pair.name for pair in selection.pairs] == ["toy010"]
    assert selection.reason.startswith("the 1 photos held out in its training (")
    assert selection.reason.endswith("; 1 other gone or changed since)")


def test_lists_beside_the_weights_precede_those_of_a_later_run(data: Path, model: Path) -> None:
    copy_lists(model / RUN, model)
    write_lists(split(data).train, model / RUN)  # whose weights were no better
    assert names(data, None, model) == ["toy000", "toy010"]


def test_a_models_folder_may_be_its_runs_folder(data: Path, model: Path) -> None:
    copy_lists(model / RUN, model / RUN)
    assert names(data, None, model) == ["toy000", "toy010"]


def test_a_named_list_precedes_the_models_and_that_precedes_the_datas(
    data: Path, model: Path, tmp_path: Path
) -> None:
    (data / "val.txt").write_text("toy003\n")
    (tmp_path / "list.txt").write_text("toy005\ntoy006\n")
    assert names(data, tmp_path / "list.txt", model) == ["toy005", "toy006"]
    assert names(data, None, model) == ["toy000", "toy010"]
    assert names(data, None, None) == ["toy003"]
    assert names(data, None, tmp_path / "untrained") == ["toy003"]


def test_without_any_list_all_photos_are_scored_and_the_reason_given(data: Path) -> None:
    selection = select(data, None, None)
    assert (len(selection.pairs), selection.reason) == (
        12,
        "all 12 photos, any that it was trained on too",
    )


def test_a_missing_list_is_reported(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.txt cannot be read"):
        select(data, tmp_path / "none.txt", None)
