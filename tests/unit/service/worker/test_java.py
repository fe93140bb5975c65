"""The Java that runs TorchServe is found, and one that cannot run it is passed over."""

import subprocess
import sys
from pathlib import Path

import pytest

from service.worker.java import find_system_java, java_major, parse_java_major

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize(
    ("text", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25.0.2" 2026-01-20', 25),
        ('openjdk version "21" 2023-09-19', 21),
        ('java version "1.8.0_392"', 8),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "11.0.2"', 11),
        ('openjdk version "24-ea" 2025-03-18', 24),
        ("Unable to locate a Java Runtime.", None),
        ("", None),
    ],
)
def test_a_java_version_is_read(text: str, major: int | None) -> None:
    assert parse_java_major(text) == major


def write_java(folder: Path, script: str) -> Path:
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\n{script}\n")
    java.chmod(0o755)
    return java


def test_a_broken_java_counts_as_none(tmp_path: Path) -> None:
    broken = write_java(tmp_path, "echo 'error while loading shared libraries' >&2; exit 127")
    assert java_major(broken) is None
    assert java_major(tmp_path / "absent") is None


def test_a_java_in_the_path_replaces_an_old_java_home(tmp_path: Path) -> None:
    old = write_java(tmp_path / "old", "echo 'openjdk version \"11.0.2\"' >&2")
    new = write_java(tmp_path / "new", "echo 'openjdk version \"21.0.1\"' >&2")
    environ = {"JAVA_HOME": str(old.parent.parent), "PATH": str(new.parent)}
    assert find_system_java(environ) == new
    assert find_system_java({"PATH": str(old.parent)}) is None


@pytest.mark.parametrize("module", ["java", "gpus"])
def test_the_installer_can_import_it_before_anything_is_installed(module: str) -> None:
    check = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import service.worker.{module}"
    subprocess.run([sys.executable, "-I", "-S", "-c", check], check=True)
