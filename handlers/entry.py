"""TorchServe's way in: its batches in, the pipeline's answers out.

The one file that knows TorchServe. Every item is answered with status 200: TorchServe closes the
connection after any other, and an exception would fail the whole batch. The media type says what
became of an image. Header values are ours: ASCII, one line.
"""

from pathlib import Path
from typing import Any

from handlers import job, pipeline


class FcnHandler:
    """The only class of this module, as TorchServe's loader demands."""

    def initialize(self, context: Any) -> None:
        """Load the model that the archive holds; raises what is wrong with it."""
        properties = context.system_properties
        self._pipeline = pipeline.Pipeline.load(
            Path(properties["model_dir"]), properties.get("gpu_id")
        )
        self._model = "{name}@{digest}".format_map(self._pipeline.card)

    def handle(self, data: list[dict[str, bytearray]], context: Any) -> list[bytes]:
        """Answer a batch: `data` holds one mapping per request, the image under `body`."""
        jobs = [
            job.read_job(
                item.get("body", b""), context.get_request_header(place, job.OPTIONS_HEADER)
            )
            for place, item in enumerate(data)
        ]
        answers = self._pipeline.run(jobs)
        for place, answer in enumerate(answers):
            context.set_response_content_type(place, answer.media_type)
            context.set_response_header(place, job.MODEL_HEADER, self._model)
            context.set_response_header(place, job.REPORT_HEADER, answer.report.json())
        return [answer.body for answer in answers]
