"""The entry point for TorchServe: its batches in, the pipeline's answers out.

The one file that depends on TorchServe. Each of its requests has the images of a gateway that
waited together; all images of all requests are one batch. Every request is answered with status
200: TorchServe closes the connection after any other, and an exception would fail the whole batch.
Media types distinguish masks from problems. Header values are our own: ASCII, one line.
"""

import logging
import os
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handlers.log import log_to_stderr

if TYPE_CHECKING:
    from handlers.isolation.crash_isolation import CrashIsolation
    from handlers.job import Answer, JointRequest
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
    _is_draining = False

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
        """Answer a batch: `data` holds one mapping per request, its images under `body`."""
        from handlers.job import JointRequest

        requests = [
            JointRequest.read(
                item.get("body", b""), context.get_request_header(index, "Content-Type")
            )
            for index, item in enumerate(data)
        ]
        jobs = [job for request in requests for job in request.jobs]
        answers = iter(self._pipeline.run(jobs, self._isolation))
        self._is_draining = is_draining()
        return [
            self._answer(index, request, list(islice(answers, len(request.jobs))), context)
            for index, request in enumerate(requests)
        ]

    def _answer(
        self, index: int, request: "JointRequest", answers: "list[Answer]", context: Any
    ) -> bytes:
        """Set the headers of a request's answer; returns its body."""
        from handlers.job import joint_body
        from handlers.shared import wire

        context.set_response_header(index, wire.MODEL_HEADER, self._model)
        if self._is_draining:
            context.set_response_header(index, wire.DRAINING_HEADER, "1")
        if not request.is_plain:
            context.set_response_content_type(index, wire.IMAGES_MEDIA_TYPE)
            return joint_body(answers)
        (answer,) = answers
        context.set_response_content_type(index, answer.media_type)
        context.set_response_header(index, wire.REPORT_HEADER, answer.report.to_json())
        return answer.body


def is_draining() -> bool:
    """Return whether the supervisor is about to stop TorchServe."""
    from handlers.shared.flight_records import DRAINING_FILE

    folder = os.environ.get(FLIGHT_RECORDS)
    return bool(folder) and Path(folder or "", DRAINING_FILE).exists()


def report_load(name: str, failure: str) -> None:
    """Report how the model's first load ended: empty for success. Later loads change nothing: the
    supervisor waits for a worker that has loaded its model once.
    """
    if folder := os.environ.get(LOAD_REPORTS):
        with suppress(OSError), Path(folder, name).open("x") as report:
            report.write(failure)
