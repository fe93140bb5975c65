"""Compose files, `.env.example` and Dockerfiles agree with the code; no engine is needed."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.lock.images import FILES, PINNED
from deploy.pins import read_pins
from service.healthcheck import PROBES, probe_url
from service.settings import Settings

ROOT = Path(__file__).parents[3]
# the main one first: its defaults are the ones that the example shows
COMPOSE_FILES = sorted(ROOT.glob("docker-compose*.yml"), key=lambda file: len(file.name))
ENV_EXAMPLE = (ROOT / ".env.example").read_text()
EXAMPLES = dict(re.findall(r"^#([A-Z_]+)=(.*)$", ENV_EXAMPLE, re.MULTILINE))

# addresses and ports inside the containers, and the store, which has a Compose file of its own
FIXED_BY_COMPOSE = {
    *("FCNSERVE_HOST", "FCNSERVE_PORT", "FCNSERVE_TORCHSERVE_URL", "FCNSERVE_MODEL_STORE"),
    *("FCNSERVE_WORKER_HOST", "FCNSERVE_WORKER_PORT", "FCNSERVE_WORKER_METRICS_PORT"),
    *("FCNSERVE_WORKER_STATUS_PORT", "FCNSERVE_WORKER_SOCKET"),
}


def read(name: str) -> dict[str, Any]:
    contents: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return contents


def default_text(default: object) -> str:
    """A setting's default as an environment variable."""
    if isinstance(default, tuple | frozenset):
        return ",".join(sorted(default))
    if default is None:
        return ""
    return default.name if isinstance(default, Path) else str(default)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_example_of_an_env_file_has_every_setting(name: str) -> None:
    field = Settings.model_fields[name]
    expected = f"# {field.description}\n#FCNSERVE_{name.upper()}={default_text(field.default)}\n"
    assert expected in ENV_EXAMPLE


def test_the_example_of_an_env_file_has_every_knob_of_the_compose_files_with_its_default() -> None:
    knobs: dict[str, str] = {}
    for file in COMPOSE_FILES:
        for name, _, default in re.findall(r"\$\{(\w+)(:-([^}]*))?", file.read_text()):
            knobs.setdefault(name, default)
    assert knobs
    # a note in the example says so
    differing = {
        *("FCNSERVE_DRAIN_DELAY_S", "FCNSERVE_LOG_FORMAT", "FCNSERVE_MODEL_STORE"),
        "FCNSERVE_GATEWAY_PROCESSES",
    }
    assert {name: EXAMPLES.get(name) for name in knobs.keys() - differing} == {
        name: default for name, default in knobs.items() if name not in differing
    }


def test_the_example_of_an_env_file_has_only_variables_that_are_read() -> None:
    settings = {f"FCNSERVE_{name.upper()}" for name in Settings.model_fields}
    texts = "".join(file.read_text() for file in COMPOSE_FILES)
    knobs = set(re.findall(r"\$\{(\w+)", texts))
    assert set(EXAMPLES) - settings - knobs == {"COMPOSE_FILE"}


@pytest.mark.parametrize("service", ["gateway", "worker"])
def test_compose_passes_every_setting_on_that_it_does_not_fix(service: str) -> None:
    environment = read("docker-compose.yml")["services"][service]["environment"]
    settings = {f"FCNSERVE_{name.upper()}" for name in Settings.model_fields}
    assert set(environment) - FIXED_BY_COMPOSE == settings - FIXED_BY_COMPOSE


def test_compose_lists_settings_in_order_and_none_twice() -> None:
    text = (ROOT / "docker-compose.yml").read_text()  # Compose refuses duplicates, PyYAML does not
    names = re.findall(r"^  (FCNSERVE_\w+):", text, re.MULTILINE)
    assert names == sorted(set(names))


def test_containers_of_every_service_are_hardened() -> None:
    for name, service in read("docker-compose.yml")["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["restart"] == "unless-stopped", name


def test_torchserve_is_on_the_internal_network_alone() -> None:
    compose = read("docker-compose.yml")
    assert compose["services"]["worker"]["networks"] == ["inside"]
    assert "ports" not in compose["services"]["worker"]
    assert compose["networks"]["inside"] == {"internal": True}


def test_the_images_bear_the_version_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for service in ("gateway", "worker"):
        assert f"ARG VERSION={version}\n" in (ROOT / f"deploy/{service}.Dockerfile").read_text()


def test_the_image_of_locust_is_the_version_that_is_pinned() -> None:
    pins = {pin.name: pin.version for pin in read_pins(ROOT)}
    assert EXAMPLES["LOCUST_VERSION"] == pins["locust"]


def test_every_foreign_image_has_one_digest() -> None:
    compose = read("docker-compose.yml")["services"]
    images = {service["image"] for service in compose.values()}
    texts = [(ROOT / name).read_text() for name in FILES]
    pinned = {found[0] for text in texts for found in PINNED.finditer(text)}
    # locust's tag is a variable
    assert {image for image in images if not image.startswith(("fcnserve-", "locustio/"))} < pinned
    assert len({image.partition("@")[0] for image in pinned}) == len(pinned)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith("Dockerfile")])
def test_an_image_is_built_on_the_one_that_is_pinned(name: str) -> None:
    text = (ROOT / name).read_text()
    assert f"ARG PYTHON_IMAGE={EXAMPLES['PYTHON_IMAGE']}\nFROM" in text
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${PYTHON_IMAGE}"}


def test_digests_are_written_anew_in_every_file_that_names_an_image() -> None:
    naming = {
        str(file.relative_to(ROOT))
        for pattern in ("*.yml", ".env.example", "deploy/**/*Dockerfile")
        for file in ROOT.glob(pattern)
        if PINNED.search(file.read_text())
    }
    assert naming == set(FILES)


@pytest.mark.parametrize("service", PROBES)
def test_a_health_check_uses_the_port_of_the_settings(service: str) -> None:
    variable, port, path = PROBES[service]
    field = Settings.model_fields[variable.removeprefix("FCNSERVE_").lower()]
    assert str(field.default) == port
    assert probe_url(service, {}) == f"http://127.0.0.1:{port}{path}"
    assert probe_url(service, {variable: "9"}) == f"http://127.0.0.1:9{path}"
