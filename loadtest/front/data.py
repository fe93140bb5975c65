"""The photos of a run, and a model folder with their label maps in place of weights.

The maps are those of the real network, so that encoding takes as long as with it; they are computed
once and kept in `build/front`. Called by `loadtest.front.run`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from handlers.job import Job
from handlers.model_config import MODEL_FILE, load_config
from handlers.runtime.device import choose_device
from handlers.runtime.load_network import load_network
from handlers.stages.decode import decode, open_photo
from loadtest.command_line import MODEL, SAMPLES
from loadtest.traffic.corpus import Photo, make_photos
from loadtest.traffic.label_maps import LabelMap, Size, read_label_maps, write_label_maps
from service.settings import ROOT

FOLDER = ROOT / "build" / "front"
NAME, LABEL_MAPS = "null", "label_maps.npz"
SEED = 0


@dataclass(frozen=True, slots=True)
class FrontData:
    """Photos, the model folder that answers them, and the labels that each must get."""

    folder: Path
    photos: Sequence[bytes]
    expected: Sequence[LabelMap]

    @property
    def mean_bytes(self) -> int:
        return sum(map(len, self.photos)) // len(self.photos)


def prepare_data(set_name: str, images: int) -> FrontData:
    """Make the photos; and the model folder, unless it is there from an earlier run."""
    photos = make_photos(set_name, images, SEED, sorted(SAMPLES.glob("*.jpg")))
    folder = FOLDER / f"{set_name}-{images}-{SEED}" / NAME
    if not (folder / LABEL_MAPS).exists():
        write_folder(folder, compute_label_maps(photos))
    maps = read_label_maps(folder / LABEL_MAPS)
    return FrontData(folder, [one.body for one in photos], [maps[one.size] for one in photos])


def compute_label_maps(photos: Sequence[Photo]) -> dict[Size, LabelMap]:
    """Label every photo by the real network; of photos of one size, the last one counts."""
    config = load_config(MODEL)
    network = load_network(choose_device(None, config.precision), config, MODEL)
    maps: dict[Size, LabelMap] = {}
    for one in photos:
        opened = open_photo(Job(one.body), config.working_max_side)
        frame = network.frame(opened.working_size)
        (labels,) = network.label([decode(opened)], [opened.output_request], frame)
        maps[one.size] = labels.read()[0]
    return maps


def write_folder(folder: Path, maps: Mapping[Size, LabelMap]) -> None:
    """Write the model folder: the real `model.yaml` with another name and other weights."""
    fields = yaml.safe_load((MODEL / MODEL_FILE).read_text())
    fields |= {"name": NAME, "weights": LABEL_MAPS}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL_FILE).write_text(yaml.safe_dump(fields))
    partial = folder / f"{LABEL_MAPS}.partial"
    write_label_maps(partial, maps)
    partial.rename(folder / LABEL_MAPS)
