"""TorchServe's way in: its batches in, the pipeline's answers out.

The one file that knows TorchServe. Every item is answered with status 200: TorchServe closes the
connection after any other, and an exception would fail the whole batch. The media type says what
became of an image. Header values are ours: ASCII, one line.
"""

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handlers.log import log_to_stderr

if TYPE_CHECKING:
    from handlers.isolation.guard import Guard
    from handlers.pipeline import Pipeline

# a folder where each model's first load is reported, for those who started TorchServe
LOAD_REPORTS = "FCNSERVE_LOAD_REPORTS"
# a folder where each model's processes record what they have in hand; see
# handlers/isolation/guard.py
FLIGHT_RECORDS = "FCNSERVE_FLIGHT_RECORDS"


class FcnHandler:
    """The only class of this module, as TorchServe's loader demands."""

    _pipeline: "Pipeline"
    _guard: "Guard"
    _model: str

    def initialize(self, context: Any) -> None:
        """Load the model that the archive holds; raises what is wrong with it."""
        log_to_stderr()
        name = context.manifest["model"]["modelName"]
        try:
            self._load(context)
            self._record(name)
        except Exception as error:
            reason = f"{name}: {type(error).__name__}: {error}"
            foreseen = isinstance(error, (OSError, ValueError))
            logging.getLogger("handlers").error(
                "cannot load %s", reason, exc_info=None if foreseen else error
            )
            report_load(name, reason)
            raise
        report_load(name, "")

    def _load(self, context: Any) -> None:
        """Import the worker's code: here, since TorchServe calls an ImportError at this module's
        own import a missing `ts.torch_handler`.
        """
        from handlers.pipeline import Pipeline
        from handlers.shared.photo import ignore_decoder_warnings

        ignore_decoder_warnings()
        properties = context.system_properties
        self._pipeline = Pipeline.load(Path(properties["model_dir"]), properties.get("gpu_id"))
        self._model = self._pipeline.card.tag

    def _record(self, name: str) -> None:
        """Begin to record what this process works on; here, once it is ready for it."""
        from handlers.isolation.guard import Guard

        folder = os.environ.get(FLIGHT_RECORDS)
        self._guard = Guard.at(Path(folder, name) if folder else None)
        self._guard.catch_crashes()

    def handle(self, data: list[dict[str, bytearray]], context: Any) -> list[bytes]:
        """Answer a batch: `data` holds one mapping per request, the image under `body`."""
        from handlers.job import read_job
        from handlers.shared import wire

        jobs = [
            read_job(item.get("body", b""), context.get_request_header(place, wire.OPTIONS_HEADER))
            for place, item in enumerate(data)
        ]
        answers = self._pipeline.run(jobs, self._guard)
        for place, answer in enumerate(answers):
            context.set_response_content_type(place, answer.media_type)
            context.set_response_header(place, wire.MODEL_HEADER, self._model)
            context.set_response_header(place, wire.REPORT_HEADER, answer.report.to_json())
        return [answer.body for answer in answers]


def report_load(name: str, failure: str) -> None:
    """Note how the model's first load ended, empty for well; later ones change nothing: a worker
    that has run once is worth waiting for.
    """
    if folder := os.environ.get(LOAD_REPORTS):
        with suppress(OSError), Path(folder, name).open("x") as report:
            report.write(failure)
