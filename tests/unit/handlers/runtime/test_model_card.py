"""A card describes how to read masks; its digest changes with all that their bytes depend on."""

import json
from pathlib import Path

import pytest

from handlers.model_config import load_config
from handlers.runtime import model_card as card
from handlers.runtime.device import Device
from handlers.runtime.model_card import model_card, model_digest
from tests.support.fakes import FAKE_COSTS
from tests.support.worker import CLASSES, cpu, write_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path, weights=b"some weights")


def digest(folder: Path, device: Device | None = None) -> str:
    return model_digest(load_config(folder), folder, device or cpu())


def test_a_card_describes_how_to_read_a_mask(folder: Path) -> None:
    card_json = json.loads(
        model_card(load_config(folder), folder, cpu(), FAKE_COSTS).model_dump_json()
    )
    assert card_json["name"] == "fcn8s-lite0"
    assert card_json["digest"] == digest(folder)
    assert len(card_json["classes"]) == len(card_json["palette"]) == CLASSES
    assert (card_json["device"], card_json["precision"]) == ("cpu", "fp32")
    assert card_json["working_max_side"] <= card_json["max_side_limit"]


def test_a_digest_is_hexadecimal_and_stable(folder: Path) -> None:
    assert digest(folder) == digest(folder)
    assert len(digest(folder)) == len(bytes.fromhex(digest(folder))) * 2 == 16


def test_the_weights_change_the_digest(folder: Path) -> None:
    before = digest(folder)
    (folder / "weights.safetensors").write_bytes(b"Some weights")
    assert digest(folder) != before


def test_model_yaml_changes_the_digest(folder: Path) -> None:
    before = digest(folder)
    write_model(folder, weights=b"some weights", working_max_side=700)
    assert digest(folder) != before


@pytest.mark.parametrize("device", [cpu("fp32", 1), cpu("bf16", 2)], ids=["threads", "precision"])
def test_numerics_change_the_digest(folder: Path, device: Device) -> None:
    assert digest(folder, device) != digest(folder, cpu("fp32", 2))


@pytest.mark.parametrize("what", ["code_digest", "version"])
def test_code_and_codecs_change_the_digest(
    folder: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    before = digest(folder)
    monkeypatch.setattr(card, what, lambda *_: "another")
    assert digest(folder) != before
