"""A model in this process: photos in, results of `fcnserve_client` out, without server or Java.

A photo takes the worker's own way (`handlers.pipeline`) and the gateway's rendering, so that the
bytes are those that a server with the same digest sends. Called by `fcnserve.load`.
"""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

import torch
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from fcnserve_client import Model, Photo, Segmentation
from fcnserve_client.photos import Orientation, read_photo
from fcnserve_client.problems import kind_of
from handlers.job import Answer, Job
from handlers.model_config import ModelConfig
from handlers.pipeline import Pipeline
from handlers.runtime.device import Device
from handlers.runtime.load_network import load_network
from handlers.runtime.model_card import model_card
from handlers.runtime.pass_costs import PassCosts
from handlers.runtime.weights import WeightsError
from handlers.shared.cost import CostRates
from handlers.shared.errors import ProblemError, read_problem
from handlers.shared.photo import ignore_decoder_warnings
from handlers.shared.processors import usable_processors
from handlers.shared.wire import PNG_MEDIA_TYPE, WorkerOptions
from model_store.tools.archive.model_folder import ModelFolderError, checked_config
from model_store.tools.evaluate.device import check_device, device_of
from service.api.problem_handlers import invalid_option
from service.backend.model_card import ModelCard
from service.pipeline.options import checked_max_side
from service.pipeline.query import SegmentQuery, class_ids
from service.render import Output, RenderOptions, render
from service.settings import Settings
from service.worker.worker_count import worker_count

# nothing is measured: photos come one at a time, so that no pass is shared and no limit set
UNMEASURED = CostRates(
    decode={},
    pass_s=0,
    forward_s_per_megapixel=0,
    labels_s_per_megapixel=0,
    confidence_s_per_megapixel=0,
)
NOT_SHARED = PassCosts(0.0, 0.0)


class LoadedModel:
    """A model that is loaded; may be called from several threads, which take turns."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._card = ModelCard.model_validate(pipeline.card.model_dump())
        self._turn = threading.Lock()
        self.model = Model.from_card(self._card.model_dump(mode="json"))

    def segment(
        self,
        photo: Photo,
        *,
        classes: str | int | Iterable[str | int] | None = None,
        min_area: int | None = None,
        max_side: int | None = None,
        orientation: Orientation | None = None,
        confidence: bool = True,
    ) -> Segmentation:
        """Segment a photo: a path, bytes, a file, a Pillow image or RGB pixels (H, W, 3) uint8.

        The options are those of `Client.segment`, less the model and the deadline. Raises what it
        raises, less the errors of connections, and OSError for a file that cannot be read.
        """
        body = read_photo(photo)
        with _clients_errors():
            query = _query(classes, min_area, max_side, orientation, confidence=confidence)
            options = self._render_options(query)
            answer = self._run(body, query)
            png = render(answer.body, body, options, self._card.legend).body
        return Segmentation.from_png(
            png,
            self.model,
            photo=body,
            orientation=orientation or "exif",
            timing=answer.report.stages_ms,
        )

    def close(self) -> None:
        """Do nothing: the memory is freed with the object. Here for what closes a `Client`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<LoadedModel {self.model.tag} on {self._card.numerics}>"

    def _run(self, body: bytes, query: SegmentQuery) -> Answer:
        options = WorkerOptions(
            output="confidence" if query.output is Output.confidence else "mask",
            orientation=query.orientation,
            max_side=checked_max_side(query.max_side, self._card),
        )
        with self._turn:
            (answer,) = self._pipeline.run([Job(body, options)])
        if answer.media_type != PNG_MEDIA_TYPE:
            raise read_problem(answer.body)
        return answer

    def _render_options(self, query: SegmentQuery) -> RenderOptions:
        classes = class_ids(query.classes, self._card.classes)
        output = query.output or Output.mask
        return RenderOptions(output, classes, query.min_area, orientation=query.orientation)


def load_model(
    model: str | os.PathLike[str], device: str | None, threads: int | None
) -> LoadedModel:
    """Load a model by its name or folder; raises ModelFolderError and DeviceError."""
    ignore_decoder_warnings()
    settings = Settings()
    folder = _folder(model, settings.model_store)
    config = checked_config(folder)
    chosen = _device(device, config, threads or threads_of_worker(settings))
    try:
        network = load_network(chosen, config, folder)
    except WeightsError as error:
        raise ModelFolderError(str(error)) from error
    network.end_warm_up()
    card = model_card(config, folder, network.device, UNMEASURED)
    return LoadedModel(Pipeline(config, network, NOT_SHARED, card))


def threads_of_worker(settings: Settings) -> int:
    """Return the threads of one of the workers that `fcnserve serve` would start here."""
    return settings.threads or max(1, usable_processors() // worker_count(settings, 0))


def _folder(model: str | os.PathLike[str], store: Path) -> Path:
    """Return the folder of a model in the store, or the folder itself."""
    if (named := store / model).is_dir() and len(Path(model).parts) == 1:
        return named
    if Path(model).is_dir() or len(Path(model).parts) != 1:
        return Path(model)
    names = ", ".join(sorted(each.parent.name for each in store.glob("*/model.yaml")))
    raise ModelFolderError(
        f"{store} has no model {str(model)!r}; it has {names or 'none'}; name one of them, or a "
        "model's folder"
    )


def _device(name: str | None, config: ModelConfig, threads: int) -> Device:
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    check_device(name)
    return replace(device_of(name, config.precision), threads=threads)


@contextmanager
def _clients_errors() -> Iterator[None]:
    """Raise problems as the client does, whose exceptions programs know."""
    try:
        yield
    except ProblemError as problem:
        kind = kind_of(problem.code, problem.status)
        raise kind(str(problem), code=problem.code, status=problem.status) from problem


def _query(
    classes: str | int | Iterable[str | int] | None,
    min_area: int | None,
    max_side: int | None,
    orientation: Orientation | None,
    *,
    confidence: bool,
) -> SegmentQuery:
    """Check options as the gateway does; raises InvalidOptionError."""
    if isinstance(classes, str | int):
        classes = [classes]
    values = {
        "output": "confidence" if confidence else "mask",
        "classes": None if classes is None else [str(each) for each in classes],
        "min_area": min_area,
        "max_side": max_side,
        "orientation": orientation,
    }
    try:
        given = {name: value for name, value in values.items() if value is not None}
        return SegmentQuery.model_validate(given)
    except ValidationError as error:
        raise invalid_option(RequestValidationError(error.errors()), {}) from error
