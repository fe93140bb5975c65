"""A model's folder or a server in; what is evaluated, and a function that loads its predictor, out.

Called by `service.cli.evaluate`. The functions import what they need: this module is imported where
torch is not installed.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from service.client.server_url import server_url

if TYPE_CHECKING:
    from fcnserve_client import Client
    from fcnserve_client.http.options import SegmentOptions
    from model_store.tools.dataset.labelled import Labels
    from model_store.tools.evaluate.predict import Predictor
    from model_store.tools.evaluate.report import Subject

    LoadPredictor = Callable[[], Predictor]


def folder_predictor(folder: Path, data: Path, device: str) -> "tuple[Subject, LoadPredictor]":
    from model_store.tools.archive.model_folder import checked_config
    from model_store.tools.dataset.labelled import Legend
    from model_store.tools.evaluate.device import check_device, device_of
    from model_store.tools.evaluate.predict import in_process
    from model_store.tools.evaluate.report import Subject

    check_device(device)
    config = checked_config(folder)
    numerics = device_of(device, config.precision).numerics()
    subject = Subject(Legend.of(config), config.version, numerics, data.name)
    return subject, lambda: in_process(folder, device)


def server_predictor(
    url: str | None, key: str | None, name: str | None, data: Path, jobs: int
) -> "tuple[Subject, LoadPredictor]":
    """Ask a server for its model; raises FcnserveError, UnknownModelError and BadUrlError."""
    from fcnserve_client import Client
    from model_store.tools.dataset.labelled import Legend
    from model_store.tools.evaluate.report import Subject
    from service.client.exchange import TIMEOUT_S
    from service.client.query import chosen_model

    server = server_url(url)
    with Client(server, key=key, max_retries=0) as first:  # reports at once that nothing listens
        model = chosen_model(first.models(), name)
    legend = Legend(model.name, model.classes, model.palette, background=model.background_id)
    subject = Subject(legend, f"{model.version} ({model.digest})", server, data.name)
    open_client = partial(Client, server, key=key, timeout=TIMEOUT_S)
    return subject, lambda: partial(remote_labels, open_client, model.name, jobs)


def remote_labels(
    open_client: "Callable[[], Client]", model: str, jobs: int, bodies: Iterable[bytes]
) -> "Iterator[Labels]":
    """Yield the labels (H, W) of photos in order, with `jobs` requests at a time."""
    with open_client() as client:
        options: SegmentOptions = {"model": model, "confidence": False}
        for _, segmentation in client.segment_many(bodies, parallel=jobs, **options):
            yield segmentation.labels
