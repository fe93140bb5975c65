"""Prometheus' own tool accepts the configuration and the rules, and each alert fires when it has to
and not before.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.promql import RULES, alerts

pytestmark = pytest.mark.stack

PROMETHEUS = RULES.parent
CASES = sorted((RULES / "tests").glob("*.yml"))


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.fail(
            "promtool is not on PATH; it comes with Prometheus: Debian and Ubuntu: "
            "apt install --no-install-recommends prometheus; "
            "else https://prometheus.io/download/"
        )
    return found


def check(promtool: str, *arguments: str) -> str:
    done = subprocess.run(
        [promtool, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_configuration_is_valid_and_finds_the_rules(promtool: str) -> None:
    output = check(promtool, "check", "config", "prometheus.yml")
    assert "2 rule files found" in output
    assert "FAILED" not in output


@pytest.mark.parametrize("name", ["alerts.yml", "recording.yml"])
def test_a_file_of_rules_is_valid(promtool: str, name: str) -> None:
    assert "SUCCESS" in check(promtool, "check", "rules", f"rules/{name}")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_have_to(promtool: str, path: Path) -> None:
    check(promtool, "test", "rules", str(path))


@pytest.mark.parametrize("name", alerts())
def test_an_alert_is_tested(name: str) -> None:
    text = "\n".join(path.read_text() for path in CASES)
    assert re.search(rf"\b{name}\b", text)
