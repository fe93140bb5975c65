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


def knobs() -> dict[str, str]:
    """Variables that Compose replaces, with their defaults: those of the main file first."""
    found: dict[str, str] = {}
    for file in COMPOSE_FILES:
        for name, _, default in re.findall(r"\$\{(\w+)(:-([^}]*))?", file.read_text()):
            found.setdefault(name, default)
    return found


KNOBS = knobs()


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
def test_the_example_of_an_env_file_has_every_setting_with_the_default_of_compose(
    name: str,
) -> None:
    variable, field = f"FCNSERVE_{name.upper()}", Settings.model_fields[name]
    if variable in FIXED_BY_COMPOSE - KNOBS.keys():
        assert variable not in EXAMPLES
    else:
        default = KNOBS.get(variable, default_text(field.default))
        assert f"# {field.description}\n#{variable}={default}\n" in ENV_EXAMPLE


def test_the_example_of_an_env_file_has_every_knob_of_the_compose_files_with_its_default() -> None:
    assert KNOBS
    assert {name: EXAMPLES.get(name) for name in KNOBS} == KNOBS


def test_the_example_of_an_env_file_has_only_variables_that_are_read() -> None:
    settings = {f"FCNSERVE_{name.upper()}" for name in Settings.model_fields}
    assert set(EXAMPLES) - settings - KNOBS.keys() == {"COMPOSE_FILE"}


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
    foreign = {image for image in images if "fcnserve-" not in image}
    assert {image for image in foreign if not image.startswith("locustio/")} < pinned
    assert len({image.partition("@")[0] for image in pinned}) == len(pinned)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith("Dockerfile")])
def test_an_image_is_built_on_the_one_that_is_pinned(name: str) -> None:
    text = (ROOT / name).read_text()
    assert f"ARG PYTHON_IMAGE={EXAMPLES['PYTHON_IMAGE']}\nFROM" in text
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${PYTHON_IMAGE}"}


def test_digests_are_written_anew_in_every_file_that_names_an_image() -> None:
    naming = {
        str(file.relative_to(ROOT))
        for pattern in ("*.yml", ".env.example", "deploy/**/*Dockerfile", "deploy/swarm/*.yml")
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


def test_the_stack_of_a_swarm_has_the_settings_and_images_of_compose() -> None:
    compose, stack = read("docker-compose.yml"), read("deploy/swarm/stack.yml")
    assert stack["x-settings"].keys() == compose["x-settings"].keys()
    for name in ("gateway", "worker"):
        ours, theirs = stack["services"][name], compose["services"][name]
        assert ours["image"] == theirs["image"]
        assert ours["environment"].keys() == theirs["environment"].keys()
        assert ours["stop_grace_period"] == theirs["stop_grace_period"]
    assert compose["services"]["prometheus"]["image"] in stack["services"]["prometheus"]["image"]


def test_every_service_of_the_stack_has_names_for_replicas_and_is_hardened() -> None:
    for name, service in read("deploy/swarm/stack.yml")["services"].items():
        assert service["deploy"]["endpoint_mode"] == "dnsrr", name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name


@pytest.mark.parametrize("name", ["gateway", "worker"])
def test_the_stack_starts_a_replica_before_it_stops_another(name: str) -> None:
    deploy = read("deploy/swarm/stack.yml")["services"][name]["deploy"]
    for way in ("update_config", "rollback_config"):
        assert deploy[way]["order"] == "start-first"
        assert deploy[way]["parallelism"] == 1


def test_the_load_balancer_waits_longer_than_a_request_may_take() -> None:
    seconds = dict(
        re.findall(r"^ +timeout (\S+) (\d+)s", (ROOT / "deploy/haproxy.cfg").read_text(), re.M)
    )
    longest_s = Settings.model_fields["max_timeout_ms"].default / 1000
    assert int(seconds["server"]) > longest_s
    assert int(seconds["http-keep-alive"]) <= 75, "the gateway's KEEP_ALIVE_S"


def test_prometheus_scrapes_each_replica_on_the_ports_of_the_settings() -> None:
    scraped = read("deploy/prometheus/prometheus.yml")["scrape_configs"]
    jobs = {job["job_name"]: job for job in scraped}
    found = {name: job["dns_sd_configs"] for name, job in jobs.items() if name != "prometheus"}
    ports = {"gateway": "port", "worker": "worker_status_port", "torchserve": "worker_metrics_port"}
    for name, setting in ports.items():
        (names,) = found[name]
        assert names["type"] == "A"
        assert names["port"] == Settings.model_fields[setting].default
