"""A variable that is not a setting stops the start, with a suggestion."""

import re
import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.setting_names import NOT_SETTINGS, wrong_names
from service.settings import Settings
from tests.support.server import Command

ROOT = Path(__file__).parents[3]
SETTINGS = {f"FCNSERVE_{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("FCNSERVE_MODEL", "did you mean FCNSERVE_MODELS?"),
        ("FCNSERVE_MAX_PIXEL", "did you mean FCNSERVE_MAX_PIXELS?"),
        ("FCNSERVE_MAXPIXELS", "did you mean FCNSERVE_MAX_PIXELS?"),
        ("FCNSERVE_API_KEY_FILE", "did you mean FCNSERVE_API_KEYS_FILE?"),
        ("fcnserve_max_pixel", "did you mean FCNSERVE_MAX_PIXELS?"),
        ("FCNSERVE_XYZZY", "unset it"),
        ("FCNSERVE_", "unset it"),
    ],
)
def test_a_misspelt_name_stops_the_start_with_a_suggestion(
    monkeypatch: pytest.MonkeyPatch, name: str, suggestion: str
) -> None:
    monkeypatch.setenv(name, "secret")
    with pytest.raises(ValidationError) as error:
        Settings()
    assert f"{name} is no setting; {suggestion}" in str(error.value)
    assert "secret" not in error.value.errors()[0]["msg"]


@pytest.mark.parametrize("name", sorted(SETTINGS | NOT_SETTINGS | {"fcnserve_port", "FCNSERVER"}))
def test_a_name_that_is_read_anywhere_is_valid(name: str) -> None:
    assert list(wrong_names({name: "1"}, Settings.model_fields)) == []


# as the kubelet sets them in every pod of the namespace
LINKS = {
    "{}_SERVICE_HOST": "10.0.0.1",
    "{}_SERVICE_PORT": "80",
    "{}_SERVICE_PORT_HTTP": "80",
    "{}_PORT": "tcp://10.0.0.1:80",
    "{}_PORT_80_TCP": "tcp://10.0.0.1:80",
    "{}_PORT_80_TCP_PROTO": "tcp",
    "{}_PORT_80_TCP_PORT": "80",
    "{}_PORT_80_TCP_ADDR": "10.0.0.1",
}


@pytest.mark.parametrize("service", ["FCNSERVE_GATEWAY", "FCNSERVE_MODEL", "FCNSERVE_EU_1"])
def test_variables_of_a_kubernetes_service_are_valid(service: str) -> None:
    links = {name.format(service): value for name, value in LINKS.items()}
    assert list(wrong_names(links, Settings.model_fields)) == []


@pytest.mark.parametrize(
    ("service", "name"), [("FCNSERVE", "fcnserve"), ("FCNSERVE_WORKER", "fcnserve-worker")]
)
def test_a_service_link_instead_of_a_port_is_explained(service: str, name: str) -> None:
    links = {name.format(service): value for name, value in LINKS.items()}
    (error,) = wrong_names(links, Settings.model_fields)
    assert error.startswith(f"{service}_PORT is set by Kubernetes, for its Service {name}; ")
    assert "enableServiceLinks: false" in error


@pytest.mark.parametrize("command", ["serve", "gateway", "worker"])
def test_every_command_that_serves_ends_with_one_line_a_variable(
    tmp_path: Path, command: str
) -> None:
    wrong = {"FCNSERVE_MODEL": "a", "FCNSERVE_MAX_PIXEL": "1"}
    run = Command(tmp_path / "log", command, environment=wrong)
    assert run.wait(60) == 2
    assert run.output().splitlines() == [
        f"{name} is no setting; did you mean {name}S?; see docs/settings.md"
        for name in sorted(wrong)
    ]


def test_every_variable_named_in_this_repository_is_known() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git clone")
    unknown = {
        (name, file)
        for file in listed.stdout.decode().split("\0")
        if file and not file.startswith("tests/") and file != "CHANGELOG.md"
        for name in re.findall(r"\bFCNSERVE_[A-Z0-9_]*[A-Z0-9]\b", text_of(ROOT / file))
        if name not in SETTINGS | NOT_SETTINGS
    }
    assert unknown == set()


def text_of(file: Path) -> str:
    """Return a file's text; nothing for a binary file."""
    try:
        return file.read_text()
    except (UnicodeDecodeError, FileNotFoundError):
        return ""
