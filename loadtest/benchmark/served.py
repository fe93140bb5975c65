"""The rows of a benchmark over HTTP: a running service, measured at TorchServe and at the gateway.

A model folder and a data set in, measurements by level and strategy out. Called by
`loadtest.benchmark.rounds`, which runs the measurements in turns.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from loadtest.benchmark.candidates import ONE_AT_A_TIME, Key, Measurement
from loadtest.benchmark.data_set import DataSet
from loadtest.benchmark.result import BenchmarkOptions
from loadtest.benchmark.strategies import OURS
from loadtest.measure.service import GATEWAY, TORCHSERVE, RunningService, start_service
from loadtest.measure.service_load import ServiceLoad, measure_load, start_client_process
from loadtest.measure.slices import Slice

LONGEST_WARM_UP_S = 5.0  # of the service, for each set: Java compiles what runs often

SERVED_ROWS = 3


@contextmanager
def optional_service(
    folder: Path, options: BenchmarkOptions, progress: Callable[[str], None]
) -> Iterator[Callable[[DataSet], dict[Key, Measurement]]]:
    """Start the service where the options ask for it; yields a function that returns a set's
    measurements over HTTP.
    """
    if not options.served:
        yield lambda _data: {}
        return
    progress("starting the service ...")
    with (
        start_service(folder, options.settings) as service,
        start_client_process() as client_process,
    ):
        yield partial(warm_up_service, service, client_process, options)


def warm_up_service(
    service: RunningService, client_process: Executor, options: BenchmarkOptions, data: DataSet
) -> dict[Key, Measurement]:
    """Load the service with a set once; returns the set's measurements over HTTP."""

    def measurement(level: str, clients: int) -> Measurement:
        return partial(measure_served, service, client_process, level, data, clients)

    measurements = {
        (TORCHSERVE, OURS): measurement(TORCHSERVE, options.clients),
        (GATEWAY, OURS): measurement(GATEWAY, options.clients),
        (GATEWAY, ONE_AT_A_TIME): measurement(GATEWAY, 1),
    }
    for level in (TORCHSERVE, GATEWAY):
        measurements[level, OURS](min(LONGEST_WARM_UP_S, options.seconds / options.rounds))
    return measurements


def measure_served(
    service: RunningService,
    client_process: Executor,
    level: str,
    data: DataSet,
    clients: int,
    seconds: float,
) -> Slice:
    photos = [photo.body for photo in data.photos]
    load = ServiceLoad(photos, data.reference_answers, data.valid_pixels, clients, seconds)
    return measure_load(service, level, load, client_process)
