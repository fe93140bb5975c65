"""Gateway, worker and Prometheus as processes of this machine, for work on dashboards and rules
without containers: `STACK=local` before pytest, or

    python -m tests.stack.local FOLDER

Prometheus gets the repository's own configuration, with the addresses of these processes.
"""

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from tests.support.polling import wait_until
from tests.support.ports import free_port
from tests.support.promql import RULES
from tests.support.server import START_S, Command

STOP_S = 20


@dataclass(frozen=True, slots=True)
class LocalStack:
    """Where gateway and Prometheus listen."""

    gateway: str
    prometheus: str


@contextmanager
def local_stack(folder: Path, settings: Mapping[str, str]) -> Iterator[LocalStack]:
    """Run all three until the block is left; `settings` are further FCNSERVE_* variables."""
    ports = {name: free_port() for name in ("gateway", "worker", "torchserve", "ts", "prometheus")}
    environment = {
        "FCNSERVE_PORT": str(ports["gateway"]),
        "FCNSERVE_WORKER_PORT": str(ports["ts"]),
        "FCNSERVE_WORKER_METRICS_PORT": str(ports["torchserve"]),
        "FCNSERVE_WORKER_STATUS_PORT": str(ports["worker"]),
        "FCNSERVE_TORCHSERVE_URL": f"http://127.0.0.1:{ports['ts']}",
        **settings,
    }
    stack = LocalStack(*(f"http://127.0.0.1:{ports[name]}" for name in ("gateway", "prometheus")))
    with ExitStack() as running:
        for name in ("worker", "gateway"):
            command = Command(folder / f"{name}.log", name, environment=environment)
            running.callback(command.end)
        running.enter_context(prometheus(folder, ports))
        wait_until(lambda: is_answering(f"{stack.gateway}/readyz"), START_S, command.output)
        wait_until(lambda: is_answering(f"{stack.prometheus}/-/ready"), START_S)
        yield stack


@contextmanager
def prometheus(folder: Path, ports: Mapping[str, int]) -> Iterator[None]:
    """Run Prometheus, with its data in `folder`."""
    program = shutil.which("prometheus")
    if program is None:
        raise FileNotFoundError("no prometheus on PATH; Debian and Ubuntu: apt install prometheus")
    configuration = folder / "prometheus.yml"
    configuration.write_text(configuration_for(ports))
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={configuration}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(STOP_S)


def configuration_for(ports: Mapping[str, int]) -> str:
    """Return the repository's configuration with each job's target on this machine."""
    settings = yaml.safe_load((RULES.parent / "prometheus.yml").read_text())
    settings["rule_files"] = [str(RULES.parent / pattern) for pattern in settings["rule_files"]]
    for job in settings["scrape_configs"]:
        job.pop("dns_sd_configs", None)
        job.pop("authorization", None)
        job["static_configs"] = [{"targets": [f"127.0.0.1:{ports[job['job_name']]}"]}]
    return yaml.safe_dump(settings)


def is_answering(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def main() -> None:
    """Run until Ctrl-C; logs and data go to the folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with local_stack(folder.absolute(), {}) as stack:
        sys.stdout.write(f"gateway {stack.gateway}  Prometheus {stack.prometheus}\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
