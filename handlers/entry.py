"""The entry point for TorchServe: its batches in, the pipeline's answers out.

The one file that depends on TorchServe. Every item is answered with status 200: TorchServe closes
the connection after any other, and an exception would fail the whole batch. The media type
distinguishes masks from problems. Header values are our own: ASCII, one line.
"""

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handlers.log import log_to_stderr

if TYPE_CHECKING:
    from handlers.isolation.crash_isolation import CrashIsolation
    from handlers.pipeline import Pipeline

# a folder where each model's first load is reported to the supervisor
LOAD_REPORTS = "FCNSERVE_LOAD_REPORTS"
# a folder where each model's processes record what they have in work; see
# handlers/isolation/crash_isolation.py
FLIGHT_RECORDS = "FCNSERVE_FLIGHT_RECORDS"


class FcnHandler:
    """The only class of this module, as TorchServe's loader demands."""

    _pipeline: "Pipeline"
    _isolation: "CrashIsolation"
    _model: str

    def initialize(self, context: Any) -> None:
        """Load the model that the archive holds; raises what loading it raises."""
        log_to_stderr()
        name = context.manifest["model"]["modelName"]
        try:
            self._load(context)
            self._record(name)
        except Exception as error:
            reason = f"{name}: {type(error).__name__}: {error}"
            is_expected = isinstance(error, (OSError, ValueError))
            logging.getLogger("handlers").error(
                "cannot load %s", reason, exc_info=None if is_expected else error
            )
            report_load(name, reason)
            raise
        report_load(name, "")

    def _load(self, context: Any) -> None:
        """Import the worker's code here: TorchServe reports an ImportError at this module's own
        import as a missing `ts.torch_handler`.
        """
        from handlers.pipeline import Pipeline
        from handlers.shared.photo import ignore_decoder_warnings

        ignore_decoder_warnings()
        properties = context.system_properties
        self._pipeline = Pipeline.load(Path(properties["model_dir"]), properties.get("gpu_id"))
        self._model = self._pipeline.card.tag

    def _record(self, name: str) -> None:
        """Begin to record what this process works on, once it is ready."""
        from handlers.isolation.crash_isolation import CrashIsolation

        folder = os.environ.get(FLIGHT_RECORDS)
        self._isolation = CrashIsolation.at(Path(folder, name) if folder else None)
        self._isolation.catch_crashes()

    def handle(self, data: list[dict[str, bytearray]], context: Any) -> list[bytes]:
        """Answer a batch: `data` holds one mapping per request, the image under `body`."""
        from handlers.job import read_job
        from handlers.shared import wire

        jobs = [
            read_job(item.get("body", b""), context.get_request_header(index, wire.OPTIONS_HEADER))
            for index, item in enumerate(data)
        ]
        answers = self._pipeline.run(jobs, self._isolation)
        for index, answer in enumerate(answers):
            context.set_response_content_type(index, answer.media_type)
            context.set_response_header(index, wire.MODEL_HEADER, self._model)
            context.set_response_header(index, wire.REPORT_HEADER, answer.report.to_json())
        return [answer.body for answer in answers]


def report_load(name: str, failure: str) -> None:
    """Report how the model's first load ended: empty for success. Later loads change nothing: the
    supervisor waits for a worker that has loaded its model once.
    """
    if folder := os.environ.get(LOAD_REPORTS):
        with suppress(OSError), Path(folder, name).open("x") as report:
            report.write(failure)
