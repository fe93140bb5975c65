"""The containers of the stack tests: a Compose project of their own, with free ports.

Images that cannot be pulled here have stand-ins, built from Debian's and PyPI's packages in
deploy/standins. `Stack.stand_ins` lists the services that ran as one, and so does the end of the
test run. Used by all tests of this room.
"""

import json
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import yaml

from deploy.pins import read_pins
from tests.support.polling import wait_until
from tests.support.ports import free_port
from tests.support.server import ROOT

BUILD_S = 1800.0
COMMAND_S = 240.0
PULL_S = 90.0
READY_S = 120.0
BASE = {"PYTHON_IMAGE": "${PYTHON_IMAGE}"}
LOCUST = {
    "dockerfile": "locust.Dockerfile",
    "args": {"LOCUST_VERSION": "${LOCUST_VERSION}"} | BASE,
}
STAND_INS: dict[str, dict[str, Any]] = {
    "prometheus": {"dockerfile": "prometheus.Dockerfile", "args": BASE},
    "locust": LOCUST,
    "locust-worker": LOCUST,
}


class Stack:
    """One Compose project: its commands, its addresses, and the state of its containers."""

    def __init__(self, folder: Path, project: str, files: Sequence[str] = ()) -> None:
        """Choose free ports and find out which images are available; starts nothing.

        `files` are Compose files beside the main one.
        """
        self.project = project
        self.files = files
        self.folder = folder
        self.client = httpx.Client(timeout=150, trust_env=False)
        ports = {name: free_port() for name in ("FCNSERVE", "PROMETHEUS", "GRAFANA", "LOCUST")}
        self.gateway = f"http://127.0.0.1:{ports['FCNSERVE']}"
        self.prometheus = f"http://127.0.0.1:{ports['PROMETHEUS']}"
        self.locust = f"http://127.0.0.1:{ports['LOCUST']}"
        self.environment = {f"{name}_PORT": str(port) for name, port in ports.items()} | {
            "FCNSERVE_TAG": "stack-test",
            "INGRESS_TAG": "stack-test",
            "LOCUST_VERSION": locust_version(),
            "PYTHON_IMAGE": self._python_image(),
        }
        (folder / "empty.env").touch()  # a developer's own .env does not apply
        self.stand_ins = [name for name in STAND_INS if not self._is_available(self._image(name))]
        self.override = folder / "stand-ins.yml"
        self.override.write_text(override(self.stand_ins))

    def compose(self, *arguments: str, files: Iterable[str] = (), **environment: str) -> str:
        """Run `docker compose`, with further files and variables; returns its output."""
        return docker(
            *("compose", *arguments),
            environment=self.variables(files) | environment,
            seconds=BUILD_S if {"--build", "build"} & set(arguments) else COMMAND_S,
        )

    def roll_out(self, service: str, *, files: Iterable[str] = (), **environment: str) -> None:
        """Run deploy/rollout.sh, as docs/operations.md and docs/models.md do."""
        done = run(
            ["sh", "deploy/rollout.sh", service],
            environment=self.variables(files) | environment,
            seconds=BUILD_S,
        )
        if done.returncode:
            raise CommandError(f"the rollout of {service}:\n{done.stdout}\n{done.stderr}")

    def variables(self, files: Iterable[str] = ()) -> dict[str, str]:
        """Return what selects this project for `docker compose`."""
        chosen = ["docker-compose.yml", *self.files, *files, str(self.override)]
        return self.environment | {
            "COMPOSE_FILE": ":".join(chosen),
            "COMPOSE_PROJECT_NAME": self.project,
            "COMPOSE_ENV_FILES": str(self.folder / "empty.env"),
        }

    def containers(self, service: str) -> set[str]:
        """Return the ids of a service's running containers."""
        return set(self.compose("ps", "--quiet", service).split())

    def up(self, *services: str) -> None:
        """Start the services that are not running, and wait until they are healthy."""
        self.compose("up", "-d", "--wait", *services)

    def logs(self, *services: str) -> str:
        return self.compose("logs", "--no-color", "--tail", "60", *services)

    def log_lines(self, service: str) -> list[str]:
        """Return the lines of a service's containers as these wrote them, which Compose changes."""
        logs = [run_docker("logs", container) for container in self.containers(service)]
        return [line for log in logs for line in (log.stdout + log.stderr).splitlines()]

    def run_python(self, service: str, code: str) -> str:
        """Run Python in a running container, as its user."""
        return self.compose("exec", "-T", service, "python", "-c", code)

    def inspect(self, service: str) -> dict[str, Any]:
        """Docker's description of a service's container, running or not."""
        (container,) = self.compose("ps", "--all", "--quiet", service).split()
        (found,) = json.loads(docker("inspect", container))
        return dict(found)

    def post_photo(self, photo: bytes, **query: object) -> httpx.Response:
        """Send a photo to the gateway."""
        parameters = {name: str(value) for name, value in query.items()}
        return self.client.post(f"{self.gateway}/v1/segment", content=photo, params=parameters)

    def is_ready(self) -> bool:
        try:
            return self.client.get(f"{self.gateway}/readyz").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def wait_until_ready(self) -> None:
        wait_until(self.is_ready, READY_S, self.logs)

    def query(self, promql: str) -> list[dict[str, Any]]:
        """Query Prometheus; returns the series of its answer."""
        answer = self.client.get(f"{self.prometheus}/api/v1/query", params={"query": promql})
        answer.raise_for_status()
        return list(answer.json()["data"]["result"])

    def down(self) -> None:
        """Remove everything but the images, which the next run builds upon."""
        self.client.close()
        # by the project's name alone: the files may have changed, or be invalid
        command = ("down", "--volumes", "--remove-orphans", "--timeout", "5")
        docker("compose", "-p", self.project, *command, folder=self.folder)

    def _image(self, service: str) -> str:
        compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
        image: str = compose["services"][service]["image"]
        return image.partition("${")[0] + (locust_version() if "${" in image else "")

    def _python_image(self) -> str:
        """The base image: by its digest, or by its tag where that is not available."""
        compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
        argument: str = compose["services"]["gateway"]["build"]["args"]["PYTHON_IMAGE"]
        pinned = argument.removeprefix("${PYTHON_IMAGE:-").removesuffix("}")
        return pinned if self._is_available(pinned) else pinned.partition("@")[0]

    @staticmethod
    def _is_available(image: str) -> bool:
        """Whether the engine has the image, or can pull it."""
        for command in (["image", "inspect", image], ["pull", "--quiet", image]):
            try:
                docker(*command, seconds=PULL_S)
            except (CommandError, subprocess.TimeoutExpired):
                continue
            return True
        return False


class CommandError(AssertionError):
    """A command of Docker failed; the message has its output."""


def docker(
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    seconds: float = COMMAND_S,
    folder: Path = ROOT,
) -> str:
    """Run Docker; returns what it wrote to stdout, or raises CommandError."""
    done = run_docker(*arguments, environment=environment, seconds=seconds, folder=folder)
    if done.returncode:
        raise CommandError(f"docker {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def run_docker(
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    seconds: float = COMMAND_S,
    folder: Path = ROOT,
) -> "subprocess.CompletedProcess[str]":
    """Run Docker without a developer's own settings."""
    return run(["docker", *arguments], environment=environment, seconds=seconds, folder=folder)


def run(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    seconds: float = COMMAND_S,
    folder: Path = ROOT,
) -> "subprocess.CompletedProcess[str]":
    """Run a command without a developer's own settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FCNSERVE_", "COMPOSE_", "LOADTEST_"))
    }
    return subprocess.run(
        command,
        cwd=folder,
        env=kept | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def override(services: Iterable[str]) -> str:
    """Return a Compose file that builds stand-ins for the services."""
    context = str(ROOT / "deploy" / "standins")
    found = {
        name: {
            "image": f"fcnserve-standin-{name}",
            "build": {"context": context} | STAND_INS[name],
        }
        for name in services
    }
    return yaml.safe_dump({"services": found})


def locust_version() -> str:
    """Return the version that constraints.txt pins."""
    (version,) = (pin.version for pin in read_pins(ROOT) if pin.name == "locust")
    return version
