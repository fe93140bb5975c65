"""The lines of a subprocess among JSON logs."""

import json
import subprocess
import sys

import pytest

from service import logs
from service.logs.relay import stderr_for
from service.settings import Settings

OWN = '{"event": "loaded", "level": "info"}'
SCRIPT = f"""
import sys
sys.stderr.write("WARNING: a method\\n\\n" + {OWN!r} + "\\n")
sys.stderr.flush()
sys.stderr.buffer.write(b"# a crash \\xff, without an end of line")
"""


def run(settings: Settings) -> None:
    logs.configure(settings)
    with stderr_for(settings, "torchserve.java") as stderr:
        subprocess.run([sys.executable, "-c", SCRIPT], stderr=stderr, check=True)


def test_every_line_is_an_object_to_the_last(capfd: pytest.CaptureFixture[str]) -> None:
    run(Settings(log_format="json"))
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == [
        "WARNING: a method",
        "loaded",
        "# a crash \ufffd, without an end of line",
    ]
    assert [line.get("logger") for line in lines] == ["torchserve.java", None, "torchserve.java"]
    assert all("timestamp" in line for line in lines if "logger" in line)


def test_an_object_is_passed_on_as_it_is(capfd: pytest.CaptureFixture[str]) -> None:
    run(Settings(log_format="json"))
    assert f"{OWN}\n" in capfd.readouterr().err


def test_lines_for_people_are_passed_on_as_they_are(capfd: pytest.CaptureFixture[str]) -> None:
    run(Settings(log_format="human"))
    assert capfd.readouterr().err.startswith(f"WARNING: a method\n\n{OWN}\n# a crash")
