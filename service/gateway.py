"""`fcnserve gateway`: the application on uvicorn."""

import uvicorn
from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry

from service import logs
from service.app import create_app
from service.settings import Settings

KEEP_ALIVE_S = 75


def run() -> None:
    """Serve until SIGINT or SIGTERM; requests in flight get `shutdown_grace_s` to finish."""
    settings = Settings()
    logs.configure(settings)
    registry = CollectorRegistry()
    for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
        registry.register(collector)
    uvicorn.run(
        create_app(settings, registry),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        access_log=False,  # telemetry writes one line a request, with its stage times
        log_config=None,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.shutdown_grace_s),
    )
