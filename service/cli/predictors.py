"""A model's folder or a server in; what is evaluated, and a function that loads its predictor, out.

Called by `service.cli.evaluate`. The functions import what they need: this module is imported where
torch is not installed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from service.client.server_url import server_url

if TYPE_CHECKING:
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
    url: str | None, key: str | None, model: str | None, data: Path, jobs: int
) -> "tuple[Subject, LoadPredictor]":
    from model_store.tools.dataset.labelled import Legend
    from model_store.tools.evaluate.report import Subject
    from service.client.http import Server
    from service.client.remote_predictor import read_card, remote_predictor

    server = Server(server_url(url), key)
    card = read_card(server, model)
    palette = tuple((red, green, blue) for red, green, blue in card["palette"])
    background = card.get("background_id")
    legend = Legend(card["name"], tuple(card["classes"]), palette, background=background)
    subject = Subject(legend, f"{card['version']} ({card['digest']})", server.url, data.name)
    return subject, lambda: remote_predictor(server, model, jobs)
