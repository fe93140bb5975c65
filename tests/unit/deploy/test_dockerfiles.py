"""An image is built in steps: the installer has to run with what was copied before it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
COPY = re.compile(r"^COPY ((?:\S+ )+)(\S+)$", re.MULTILINE)


@pytest.mark.parametrize("name", ["gateway", "worker"])
def test_the_installer_imports_only_what_was_copied_before_it_runs(
    name: str, tmp_path: Path
) -> None:
    before, _, _ = (
        (ROOT / "deploy" / f"{name}.Dockerfile").read_text().partition("RUN --mount=type=cache")
    )
    for sources, target in COPY.findall(before):
        for source in sources.split():
            copy(ROOT / source, tmp_path / target)
    code = "import deploy.install, deploy.environment"
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, '.'); {code}"]
    subprocess.run(command, cwd=tmp_path, check=True)


def copy(source: Path, target: Path) -> None:
    """Copy as Docker does: a folder's content into the target, a file into it."""
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
