"""Lists, or every tenth photo, divide a data set into training and held-out photos."""

from pathlib import Path

import pytest

from model_store.tools.dataset.errors import DataError
from model_store.tools.dataset.toy import draw_data_set
from model_store.tools.train.data.split import split


@pytest.fixture
def data(tmp_path: Path) -> Path:
    draw_data_set(tmp_path / "discs", photos=3)
    return tmp_path / "discs"


def test_every_tenth_photo_is_held_out_where_there_are_no_lists(tmp_path: Path) -> None:
    draw_data_set(tmp_path / "discs", photos=21)
    found = split(tmp_path / "discs")
    assert [pair.name for pair in found.val] == ["toy000", "toy010", "toy020"]
    assert len(found.train) == 18


def test_lists_are_used_where_both_are_there(data: Path) -> None:
    (data / "train.txt").write_text("toy002\ntoy000\n")
    with pytest.raises(DataError, match=r"has train.txt but no val.txt; write both lists"):
        split(data)
    (data / "val.txt").write_text("toy002\n")
    with pytest.raises(DataError, match=r"1 names are in train.txt and in val.txt \(toy002"):
        split(data)
    (data / "val.txt").write_text("toy001\n")
    found = split(data)
    assert [pair.name for pair in (*found.train, *found.val)] == ["toy002", "toy000", "toy001"]


def test_one_photo_is_not_enough(tmp_path: Path) -> None:
    draw_data_set(tmp_path / "discs", photos=1)
    with pytest.raises(DataError, match="has 1 photo with a mask; training takes 2 at least"):
        split(tmp_path / "discs")
