"""Compose accepts every combination of our files and profiles without a warning."""

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.stack.compose import run_docker
from tests.support.server import ROOT

EXTRAS = (
    "docker-compose.gpu.yml",
    "docker-compose.models.yml",
    "docker-compose.keys.yml",
    "docker-compose.ingress.yml",
)
FILES = [
    ["docker-compose.yml", *(file for file, chosen in zip(EXTRAS, choice, strict=True) if chosen)]
    for choice in product((False, True), repeat=len(EXTRAS))
]


def config(files: list[str], *arguments: str, env_file: Path) -> str:
    options = [option for file in files for option in ("-f", file)]
    done = run_docker(
        *("compose", "--env-file", str(env_file), *options, *arguments),
        environment={"FCNSERVE_MODEL_STORE": str(env_file.parent)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def services(files: list[str], env_file: Path) -> dict[str, Any]:
    answer = config(files, "--profile", "load", "config", "--format", "json", env_file=env_file)
    found: dict[str, Any] = json.loads(answer)["services"]
    return found


@pytest.fixture
def no_env(tmp_path: Path) -> Path:
    file = tmp_path / "empty.env"
    file.touch()
    return file


@pytest.mark.parametrize("files", FILES, ids=" ".join)
@pytest.mark.parametrize("profile", ["", "load"], ids=["plain", "load"])
def test_compose_accepts_the_files(files: list[str], profile: str, no_env: Path) -> None:
    chosen = ["--profile", profile] if profile else []
    assert config(files, *chosen, "config", "--quiet", env_file=no_env) == ""


def test_compose_accepts_the_example_of_an_env_file(tmp_path: Path) -> None:
    file = tmp_path / "example.env"
    example = (ROOT / ".env.example").read_text()
    lines = re.findall(r"^#((?!COMPOSE_FILE)[A-Z_]+=.*)$", example, re.MULTILINE)
    file.write_text("\n".join(lines))
    gateway = services(FILES[-1], file)["gateway"]
    assert gateway["environment"]["FCNSERVE_JAVA_OPTIONS"].startswith("-Xmx1g -XX:")
    assert gateway["environment"]["FCNSERVE_FORMATS"] == "bmp,jpeg,png,webp"


def test_the_gpu_file_gives_the_worker_its_gpus_and_the_cuda_build(no_env: Path) -> None:
    worker = services(["docker-compose.yml", "docker-compose.gpu.yml"], no_env)["worker"]
    (devices,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert (devices["driver"], devices["count"]) == ("nvidia", -1)
    assert worker["build"]["args"]["TORCH_BUILD"] == "cuda"


def test_the_documented_file_gives_each_worker_a_gpu_and_the_name(no_env: Path) -> None:
    page = (ROOT / "docs/deployment.md").read_text()
    third = no_env.with_name("gpu-1.yml")
    (text,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    third.write_text(text.replace("file: docker-compose.yml", f"file: {ROOT}/docker-compose.yml"))
    found = services(["docker-compose.yml", "docker-compose.gpu.yml", str(third)], no_env)
    devices = {
        name: found[name]["deploy"]["resources"]["reservations"]["devices"]
        for name in ("worker", "worker-1")
    }
    assert {name: each[0]["device_ids"] for name, each in devices.items()} == {
        "worker": ["0"],
        "worker-1": ["1"],
    }
    assert found["worker-1"]["networks"]["inside"]["aliases"] == ["worker"]


def test_the_load_balancer_publishes_the_port_in_place_of_the_gateways(no_env: Path) -> None:
    found = published(services(["docker-compose.yml", "docker-compose.ingress.yml"], no_env))
    assert found["ingress"] == {("127.0.0.1", 8000)}
    assert "gateway" not in found


def test_the_number_of_gpus_is_a_variable(tmp_path: Path) -> None:
    file = tmp_path / "two.env"
    file.write_text("GPU_COUNT=2")
    worker = services(["docker-compose.yml", "docker-compose.gpu.yml"], file)["worker"]
    (devices,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert devices["count"] == 2


def test_ports_are_published_on_loopback_unless_a_variable_changes_that(tmp_path: Path) -> None:
    file = tmp_path / "bind.env"
    file.touch()
    loopback = services(["docker-compose.yml"], file)
    assert published(loopback) == {
        "gateway": {("127.0.0.1", 8000)},
        "prometheus": {("127.0.0.1", 9090)},
        "grafana": {("127.0.0.1", 3000)},
        "locust": {("127.0.0.1", 8089)},
    }
    file.write_text("FCNSERVE_BIND=192.0.2.1")
    bound = published(services(["docker-compose.yml"], file))
    assert bound == published(loopback) | {"gateway": {("192.0.2.1", 8000)}}


def published(found: dict[str, Any]) -> dict[str, set[tuple[str, int]]]:
    return {
        name: {(port["host_ip"], port["target"]) for port in service["ports"]}
        for name, service in found.items()
        if service.get("ports")
    }


def test_the_files_that_provision_grafana_are_mounted(no_env: Path) -> None:
    grafana = services(["docker-compose.yml"], no_env)["grafana"]
    sources = {mount["target"]: mount["source"] for mount in grafana["volumes"]}
    assert list(Path(sources["/etc/grafana/provisioning"], "datasources").glob("*.yml"))
    (providers,) = Path(sources["/etc/grafana/provisioning"], "dashboards").glob("*.yml")
    assert "path: /etc/grafana/dashboards" in providers.read_text()
    assert list(Path(sources["/etc/grafana/dashboards"]).glob("*.json"))
