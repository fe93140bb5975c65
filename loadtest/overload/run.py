"""`python -m loadtest.overload.run` (`make overload`): ten times the service's capacity.

First a closed loop with as many clients as the service accepts at a time: its capacity, and its
latency when saturated. Then an open loop at a multiple of that rate: latency of the accepted
requests, time until the others are refused, memory. One service, one run; wiring and options.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Annotated

import typer

from loadtest.command_line import (
    MODEL,
    RESULTS,
    SAMPLES,
    parse_settings,
    prepare_environment,
    print_progress,
)
from loadtest.measure.memory_sampler import sample_memory
from loadtest.measure.service import GATEWAY, RunningService, start_service
from loadtest.measure.service_load import start_client_process
from loadtest.overload.arrivals import Arrivals, send_arrivals
from loadtest.overload.figures import OverloadOptions, OverloadResult
from loadtest.traffic.concurrent_clients import ClientResults, run_clients
from loadtest.traffic.corpus import make_photos
from service.settings import Settings

PHOTOS, SEED = 48, 0
WARM_UP_S = 8.0


def overload(
    set_name: Annotated[str, typer.Option("--set", help="Sizes of the photos.")] = "mix",
    times: Annotated[float, typer.Option(min=0.1, help="Arrivals, in capacities.")] = 10,
    saturated: Annotated[float, typer.Option(min=1, help="Seconds of the closed loop.")] = 40,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of overload.")] = 60,
    setting: Annotated[
        list[str], typer.Option(help="A setting of the service, as workers=2; may be repeated.")
    ] = [],  # noqa: B006 - typer's way
    out: Annotated[Path, typer.Option(help="Folder for .json and .md.")] = RESULTS,
) -> None:
    """Send many times the service's capacity, and measure latencies and refusals."""
    prepare_environment("cpu", 0)
    from loadtest.overload.report import save

    settings = parse_settings(setting)
    clients = int(settings.get("max_in_flight", Settings().max_in_flight))
    options = OverloadOptions(MODEL.name, set_name, clients, times, saturated, seconds, settings)
    sources = sorted(SAMPLES.glob("*.jpg"))
    photos = [photo.body for photo in make_photos(set_name, PHOTOS, SEED, sources)]
    with start_service(MODEL, settings) as service, start_client_process() as client_process:
        typer.echo(save(run(service, client_process, photos, options), out))


def run(
    service: RunningService, client_process: Executor, photos: list[bytes], options: OverloadOptions
) -> OverloadResult:
    """Fetch the reference answers, saturate the service, then overload it."""
    endpoint = service.endpoints[GATEWAY]

    def closed_loop(clients: int, seconds: float) -> ClientResults:
        return client_process.submit(run_clients, endpoint, photos, clients, seconds).result()

    print_progress("every photo alone ...")
    reference = reference_answers(closed_loop(1, 0.0))
    closed_loop(options.clients, WARM_UP_S)
    print_progress(f"{options.clients} clients for {options.saturated_s:g} s ...")
    saturated = closed_loop(options.clients, options.saturated_s)
    per_s = options.times_capacity * len(saturated.latencies_ms) / saturated.seconds
    print_progress(f"{per_s:.0f} arrivals per second for {options.overload_s:g} s ...")
    arrivals = Arrivals(photos, reference, per_s, options.overload_s)
    with sample_memory(service) as memory:
        results = client_process.submit(send_arrivals, endpoint, arrivals).result()
    return OverloadResult(options, saturated, per_s, results, memory)


def reference_answers(results: ClientResults) -> Sequence[bytes]:
    return [next(iter(results.answers[index])) for index in range(len(results.answers))]


if __name__ == "__main__":
    typer.run(overload)
