"""The dataset of a run of `fcnserve segment --format`.

In: a plan, each photo with its answer, and at the end which photos have none. Out: files in the
folder OUT, written by `fcnserve_client.datasets`. Called by `service.client.segment` and
`service.cli.segment_run`.
"""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from fcnserve_client import Model, Rendered, Segmentation
from fcnserve_client.datasets import FORMATS
from fcnserve_client.datasets.writer import photo_suffix
from fcnserve_client.errors import ModelChangedError, UnexpectedAnswerError
from service.client.dataset_plan import DatasetOptions
from service.client.files import PhotoJob


class Dataset:
    """Writes the files of photos, from several threads."""

    def __init__(self, folder: Path, model: Model, options: DatasetOptions) -> None:
        """Write the tables of the classes; raises OSError."""
        kind = FORMATS[options.format]
        self._writer = kind(folder, model, min_confidence=options.min_confidence)
        self._writer.begin()

    def add(self, job: PhotoJob, photo: bytes, answer: Rendered) -> int:
        """Write a photo's files, and return the size of the last one.

        Raises FcnserveError for an answer that is none of the dataset's model, and OSError.
        """
        name = self._name(job) + photo_suffix(job.source or "", photo)
        self._writer.add(name, self._result(photo, answer))
        return os.stat(job.target or "").st_size  # noqa: PTH116 - as service.client.files

    def finish(self, jobs: Sequence[PhotoJob], missing: Collection[PhotoJob]) -> None:
        """Write what is about all photos but the missing ones, in their order; raises OSError."""
        self._writer.finish([self._name(job) for job in jobs if job not in missing])

    def _result(self, photo: bytes, answer: Rendered) -> Segmentation:
        model = self._writer.model
        if answer.model != model.tag:
            raise ModelChangedError(
                f"the server answers with {answer.model}, and the dataset is of {model.tag}; the "
                "same command with --resume makes it with the new model",
                request_id=answer.request_id,
            )
        try:
            return Segmentation.from_png(answer.body, model, photo=photo)
        except ValueError as error:
            raise UnexpectedAnswerError(str(error), request_id=answer.request_id) from error

    def _name(self, job: PhotoJob) -> str:
        """Return the photo's name in the dataset, from the path of its last file."""
        folder, suffix = self._writer.last
        below = os.path.relpath(job.target or "", self._writer.folder / folder)
        return below.removesuffix(suffix)
