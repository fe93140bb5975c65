"""What the README's section on requests shows works as written, against the gateway."""

import asyncio
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.fakes import Gateway, running

ROOT = Path(__file__).parents[3]
SECTION = (ROOT / "README.md").read_text().split("\n## Send requests\n")[1].split("\n## ")[0]
COMMANDS = "".join(re.findall(r"^```sh\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL))
[PROGRAM] = re.findall(r"^```python\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
PROGRAMS = {
    ".venv/bin/fcnserve": [sys.executable, "-m", "service.cli.main"],
    "curl": ["curl", "-f"],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder from which the sample photos have their names."""
    (tmp_path / "service").symlink_to(ROOT / "service")
    return tmp_path


async def output(folder: Path, gateway: Gateway, command: list[str]) -> str:
    """Run a command, which has to succeed; returns what it prints."""
    url = f"http://127.0.0.1:{gateway.port}"
    environment = {**os.environ, "FCNSERVE_URL": url, "PYTHONPATH": f"{ROOT}:{ROOT / 'client'}"}
    running = await asyncio.create_subprocess_exec(
        *(word.replace("http://127.0.0.1:8000", url) for word in command),
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, failure = await running.communicate()
    assert running.returncode == 0, failure.decode()
    return printed.decode()


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
async def test_each_command_of_the_readme_gives_what_it_names(folder: Path) -> None:
    commands = [shlex.split(line) for line in COMMANDS.splitlines()]
    assert {command[0] for command in commands} == PROGRAMS.keys()
    async with running() as gateway:
        await gateway.ready()
        printed = [
            await output(folder, gateway, [*PROGRAMS[name], *words]) for name, *words in commands
        ]
    assert (folder / "cat.png").read_bytes().startswith(b"\x89PNG")
    assert any('"class_name":"cat"' in each.replace(" ", "") for each in printed)
    assert {each.name for each in folder.glob("masks/*.png")} == {"astronaut.png", "cat.png"}
    assert (folder / "results.jsonl").read_text().count('"status": "done"') == 2


async def test_the_python_program_of_the_readme_runs(folder: Path) -> None:
    async with running() as gateway:
        await gateway.ready()
        share, confidence = (await output(folder, gateway, [sys.executable, "-c", PROGRAM])).split()
    assert 0 < float(share) < 1
    assert 0 < float(confidence) < 1
    assert (folder / "overlay.png").exists()
