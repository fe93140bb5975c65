"""The command line: help and release of all commands, and the command that `serve` suggests."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from service.all_in_one.announcement import suggestion
from service.cli.main import app


def commands(command: object, *names: str) -> Iterator[tuple[str, ...]]:
    yield names
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, *names, name)


COMMANDS = list(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_every_command_prints_its_help_for_h_and_help(names: tuple[str, ...]) -> None:
    short, long = (CliRunner().invoke(app, [*names, name]) for name in ("-h", "--help"))
    assert (short.exit_code, short.output) == (0, long.output)
    assert "Usage: " in short.output


def test_the_release_is_printed() -> None:
    assert len(COMMANDS) > 10
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"fcnserve {version('fcnserve')}\n")


def test_serve_suggests_a_command_with_its_own_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FCNSERVE_API_KEYS_FILE", raising=False)
    words = shlex.split(suggestion("http://127.0.0.1:8001"))
    assert words[1] == "segment"
    assert words[-2:] == ["--url", "http://127.0.0.1:8001"]
    assert Path(words[2]).is_file()


@pytest.mark.parametrize(
    ("environment", "printed"),
    [
        pytest.param({}, "FCNSERVE_KEY: set it to an API key", id="without"),
        pytest.param({"FCNSERVE_KEY": "fcns_x"}, "runs with fcns_x", id="with"),
    ],
)
def test_with_keys_the_suggested_command_takes_the_key_of_the_shell_or_asks_for_it(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], printed: str
) -> None:
    monkeypatch.setenv("FCNSERVE_API_KEYS_FILE", "keys.txt")
    line, sentence = suggestion("http://127.0.0.1:8001").split("\n\n")
    assert "keys.txt" in sentence
    words = line.split(" ")
    index = next(index for index, word in enumerate(words) if word.endswith("fcnserve"))
    words[index] = "/bin/sh -c 'echo runs with $FCNSERVE_KEY'"
    run = subprocess.run(
        ["/bin/sh", "-c", " ".join(words)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert printed in run.stdout + run.stderr


@pytest.mark.parametrize(
    ("module", "command"), [("yaml", ["worker"]), ("torch", ["model", "check", "folder"])]
)
def test_a_command_without_its_extra_prints_how_to_install_it(
    module: str, command: list[str]
) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None; sys.argv[1:] = {command!r}; "
        "from service.cli.main import main; main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"{module} is not installed; run `")
    assert ran.stderr.endswith("deploy/install.py worker`\n")
