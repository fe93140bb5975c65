"""`fcnserve gateway`: the application on uvicorn, in this process or in several."""

from typing import Any

import uvicorn
from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry

from service import logs
from service.app import create_app
from service.processes import run_processes
from service.settings import Settings

KEEP_ALIVE_S = 75


def run() -> int:
    """Serve until SIGINT or SIGTERM; requests in flight get `shutdown_grace_s` to finish.

    Returns the exit code: 0, unless the application could not start.
    """
    settings = Settings()
    logs.configure(settings)
    if settings.gateway_processes > 1:
        return run_processes(settings.gateway_processes, uvicorn_options(settings))
    registry = CollectorRegistry()
    for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
        registry.register(collector)
    uvicorn.run(create_app(settings, registry), **uvicorn_options(settings))
    return 0


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    return {
        "host": settings.host,
        "port": settings.port,
        "loop": "uvloop",
        "http": "httptools",
        "access_log": False,  # telemetry writes one line a request, with its stage times
        "log_config": None,
        "server_header": False,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": int(settings.shutdown_grace_s),
    }
