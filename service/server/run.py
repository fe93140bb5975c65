"""`fcnserve gateway`: the application on uvicorn, in this process or in several. Called by
`service.cli.main`.
"""

import os

import uvicorn
from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry

from service import logs
from service.app import create_app
from service.auth.authenticator import Authenticator
from service.multiprocess.count import process_count
from service.server.open_files import within_open_files
from service.server.server import Server, freeze_garbage_collector, uvicorn_options
from service.server.supervisor import supervise
from service.settings import Settings
from service.tracing.collector import has_collector
from service.worker.gpus import gpu_count


def run() -> int:
    """Serve until SIGINT or SIGTERM, then drain.

    Returns the exit code: 0, unless the application could not start, or a second signal ended it
    while requests were in flight.
    """
    settings = Settings()
    logs.configure(settings)
    if authenticator := Authenticator.of(settings):
        authenticator.check_file()  # at the start only: later a broken file ends no gateway
    has_collector(os.environ)  # raises TracingError now, and not in each process
    processes = process_count(settings, gpu_count)
    settings = within_open_files(settings, processes)
    if processes > 1:
        return supervise(settings, processes)
    registry = CollectorRegistry()
    for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
        registry.register(collector)
    config = uvicorn.Config(create_app(settings, registry), **uvicorn_options(settings))
    server = Server(config, settings.drain_delay_s)
    freeze_garbage_collector()
    server.run()
    return 1 if server.force_exit else 0
