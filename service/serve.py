"""`fcnserve serve`: worker and gateway as children of this process, on a machine of one's own."""

import os
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from http import HTTPStatus

from rich.console import Console

from service.children import Child, running
from service.settings import ROOT, Settings
from service.torchserve import STOP_GRACE_S as TORCHSERVE_GRACE_S
from service.torchserve import free_port
from service.worker import stop_on_signals

START_TIMEOUT_S = 180.0
POLL_S = 0.2

console = Console(stderr=True, highlight=False, soft_wrap=True)


class HalfEndedError(RuntimeError):
    """Worker or gateway ended by itself; its last log lines say why."""


def serve(port: int | None) -> int:
    """Run until SIGINT or SIGTERM (0), or until one half ends by itself (1)."""
    stopping = stop_on_signals()
    environment = child_environment(port)
    settings = Settings() if port is None else Settings(port=port)
    graces_s = {"worker": TORCHSERVE_GRACE_S + 4, "gateway": settings.shutdown_grace_s + 2}
    with ExitStack() as stack:
        console.print(f"starting worker and gateway for {', '.join(settings.models)} ...")
        halves = {
            name: stack.enter_context(running(command(name), environment, ROOT, grace_s))
            for name, grace_s in graces_s.items()
        }
        try:
            run(halves, f"http://{settings.host}:{settings.port}", stopping)
        except HalfEndedError as error:
            console.print(f"[red]{error}[/red]")
            return 1
        console.print("stopping ...")
    console.print("stopped")
    return 0


def child_environment(port: int | None) -> dict[str, str]:
    """Give TorchServe ports of this copy's own, so that several copies run side by side."""
    worker_port = free_port()
    ours = {
        "FCNSERVE_WORKER_HOST": "127.0.0.1",
        "FCNSERVE_WORKER_PORT": str(worker_port),
        "FCNSERVE_WORKER_METRICS_PORT": "0",
        "FCNSERVE_TORCHSERVE_URL": f"http://127.0.0.1:{worker_port}",
    }
    if port is not None:
        ours["FCNSERVE_PORT"] = str(port)
    return {**os.environ, **ours}


def command(name: str) -> list[str]:
    return [sys.executable, "-m", "service.cli", name]


def run(halves: Mapping[str, Child], url: str, stopping: threading.Event) -> None:
    """Announce readiness, then watch; returns when asked to stop, raises HalfEndedError."""
    started = time.monotonic()
    announced = False
    while not stopping.wait(POLL_S):
        for name, child in halves.items():
            if (code := child.exit_code()) is not None:
                raise HalfEndedError(f"the {name} ended by itself (exit code {code}); see above")
        if not announced and is_ready(url):
            announce(url, time.monotonic() - started)
            announced = True
        if not announced and time.monotonic() - started > START_TIMEOUT_S:
            raise HalfEndedError(f"not ready after {START_TIMEOUT_S:.0f} s; see above")


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=1) as answer:  # noqa: S310 - our own
            return bool(answer.status == HTTPStatus.OK)
    except (OSError, urllib.error.URLError):
        return False


def announce(url: str, seconds: float) -> None:
    console.print(
        f"[green]ready[/green] after {seconds:.1f} s: {url} (API documentation: {url}/docs)\n"
        "try, in another terminal:\n\n"
        f"  .venv/bin/fcnserve segment service/samples/cat.jpg --output overlay -o overlay.png"
        f" --url {url}\n\n"
        "Ctrl-C stops it."
    )
