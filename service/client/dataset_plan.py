"""What `fcnserve segment --format` was asked for, and the files of its photos.

In: the command line. Out: a `Plan`, in which the target of a photo is the last of its files in the
dataset. Called by `service.cli.segment` and `service.client.dataset`; the package of the formats is
imported where it is needed, since every command imports this module.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from service.client.files import STREAM, OutputName, Plan, plan_folder
from service.client.naming import BadNamesError
from service.client.write import is_stream

FormatName = Literal["coco", "panoptic", "voc", "yolo", "cityscapes"]


@dataclass(frozen=True, slots=True)
class DatasetOptions:
    """The format, and the probability (0 to 1) below which a pixel becomes void."""

    format: FormatName
    min_confidence: float = 0.0

    @property
    def output(self) -> OutputName:
        """The output of the API that a photo's files are made from."""
        from fcnserve_client.datasets import FORMATS

        needed = FORMATS[self.format].needs_confidence or self.min_confidence > 0
        return "confidence" if needed else "mask"

    def of_answer(self) -> dict[str, str]:
        """Give the options that a photo's files depend on."""
        return {"format": self.format, "min_confidence": f"{self.min_confidence:g}"}


def plan_dataset(photos: Sequence[str], out: str, options: DatasetOptions) -> Plan:
    """Pair each photo with the last of its files; raises BadNamesError."""
    from fcnserve_client.datasets import FORMATS

    if out == STREAM or is_stream(Path(out)) or os.path.isfile(out):
        raise BadNamesError(f"{out} is no folder, and a dataset is one: -o dataset/")
    kind = FORMATS[options.format]
    return plan_folder(photos, out, kind.last[1], kind.path_of)
