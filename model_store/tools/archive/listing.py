"""A model store in, one entry a model out: its folders, and its archives that have no folder.

Called by `fcnserve model list`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import yaml
from pydantic import ValidationError

from handlers.model_config import MODEL_FILE, ModelConfig
from model_store.tools.archive.model_folder import ModelFolderError, checked_config
from model_store.tools.archive.package import archive_contents, contents_digest, worker_sources
from model_store.tools.archive.read import packed_config, packed_digest

CURRENT, STALE, UNPACKED, OTHER_CODE = "yes", "stale", "no", "by another release"
SHOWN_DIGITS = 12


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model in its store; `problem` explains why the other fields are empty."""

    name: str
    config: ModelConfig | None = None
    weights_bytes: int = 0
    packed: str = UNPACKED
    archive_digest: str = ""  # of everything in the archive
    problem: str = ""


def stored_models(store: Path) -> list[StoredModel]:
    """List folders and archives by name; raises ModelFolderError where there is no store."""
    if not store.is_dir():
        raise ModelFolderError(f"{store} is no folder; a model store holds a folder a model")
    folders = [each.parent for each in sorted(store.glob(f"[!.]*/{MODEL_FILE}"))]
    names = {folder.name for folder in folders}
    archives = [each for each in sorted(store.glob("[!.]*.mar")) if each.stem not in names]
    models = [*map(from_folder, folders), *map(from_archive, archives)]
    return sorted(models, key=lambda each: each.name)


def from_folder(folder: Path) -> StoredModel:
    """Describe a model folder, and whether the archive beside it has the same contents."""
    try:
        config = checked_config(folder)
        contents = contents_digest(dict(archive_contents(folder, config)))
    except (ModelFolderError, OSError) as error:
        return StoredModel(folder.name, problem=str(error).replace("\n", " "))
    digest = packed_digest(folder.parent / f"{config.name}.mar")
    packed = UNPACKED if digest is None else CURRENT if digest == contents else STALE
    weights_bytes = (folder / config.weights).stat().st_size
    return StoredModel(folder.name, config, weights_bytes, packed, (digest or "")[:SHOWN_DIGITS])


def from_archive(archive: Path) -> StoredModel:
    """Describe an archive, and whether it holds the worker's code of this release."""
    try:
        with ZipFile(archive) as zipped:
            config = packed_config(zipped)
            weights_bytes = zipped.getinfo(config.weights).file_size
            same_code = dict(packed_sources(zipped)) == dict(worker_sources())
            digest = zipped.comment.decode("ascii", "replace")[:SHOWN_DIGITS]
    except (OSError, BadZipFile, KeyError, yaml.YAMLError, ValidationError) as error:
        return StoredModel(archive.stem, problem=f"{archive} is no archive of ours: {error!s:.200}")
    packed = CURRENT if same_code else OTHER_CODE
    return StoredModel(archive.stem, config, weights_bytes, packed, digest)


def packed_sources(zipped: ZipFile) -> Iterator[tuple[str, bytes]]:
    for name in zipped.namelist():
        if name.startswith("handlers/"):
            yield name, zipped.read(name)
