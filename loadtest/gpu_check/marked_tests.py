"""The stage of tests: those marked `gpu`, with the pytest that this Python has, whichever it is."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree.ElementTree import parse

from loadtest.gpu_check.catalogue import Scale
from loadtest.gpu_check.results import Check, Fact, Item, Row
from loadtest.gpu_check.runner import ROOT

MARK = "mark.gpu"
# instead of pyproject.toml's, which asks for a newer pytest, with plugins, than may be there
SETTINGS = "[pytest]\nmarkers = gpu: needs an NVIDIA GPU\n"


def run(scale: Scale) -> Iterator[Item]:
    """Yield a row for each test that has run, and what failed in the log."""
    with TemporaryDirectory() as temporary:
        settings, report = Path(temporary, "pytest.ini"), Path(temporary, "report.xml")
        settings.write_text(SETTINGS)
        subprocess.run(
            command(settings, report),
            cwd=ROOT,
            env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            stdout=sys.stderr,
            check=False,
        )
        counts = dict.fromkeys(("passed", "failed", "skipped"), 0)
        for name, outcome, seconds in outcomes(report):
            counts[outcome] += 1
            if outcome != "skipped":
                yield Row("Tests", {"test": name, "outcome": outcome, "s": seconds})
    yield Fact("skipped", counts["skipped"])
    seen = f"{counts['passed']} passed, {counts['failed']} failed"
    has_run = counts["passed"] > 0 or scale.device == "cpu"
    yield Check("all tests marked gpu pass", has_run and not counts["failed"], seen)


def command(settings: Path, report: Path) -> list[str]:
    options = ["-q", "-m", "gpu", "--import-mode=importlib", "-p", "no:cacheprovider"]
    folders = ["-c", str(settings), "--rootdir", str(ROOT), "--junitxml", str(report)]
    return [sys.executable, "-m", "pytest", *options, *folders, *map(str, files())]


def files() -> list[Path]:
    """Find the files with such tests: collecting the others needs packages for nothing."""
    tests = sorted((ROOT / "tests" / "unit").rglob("test_*.py"))
    return [file for file in tests if MARK in file.read_text()]


def outcomes(report: Path) -> Iterator[tuple[str, str, float]]:
    """Read pytest's report: each test's name, outcome and seconds."""
    if not report.exists():
        yield "pytest itself (see the log)", "failed", 0.0
        return
    for case in parse(report).iter("testcase"):  # noqa: S314 - of our own pytest
        kinds = {child.tag for child in case}
        failed = "failed" if kinds & {"failure", "error"} else "passed"
        outcome = "skipped" if "skipped" in kinds else failed
        yield case.get("name", ""), outcome, float(case.get("time", 0))
