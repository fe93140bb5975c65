"""A model store in, a line about each of its models out: folders, and archives without one.

Called by `fcnserve model list`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import yaml
from pydantic import ValidationError

from handlers.model_config import MODEL_FILE, ModelConfig
from model_store.tools.archive.package import (
    ModelFolderError,
    archive_contents,
    checked_config,
    contents_digest,
    own_code,
    packed_config,
    packed_digest,
)

CURRENT, STALE, UNPACKED, OTHER_CODE = "yes", "stale", "no", "by another release"
SHOWN_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Listed:
    """A model as it lies in its store; `problem` says why there is no more to tell."""

    name: str
    config: ModelConfig | None = None
    weights_bytes: int = 0
    packed: str = UNPACKED
    contents: str = ""  # the archive's digest, of all that is in it
    problem: str = ""


def models_in(store: Path) -> list[Listed]:
    """List folders and archives by name; raises ModelFolderError where there is no store."""
    if not store.is_dir():
        raise ModelFolderError(f"{store} is no folder; a model store holds a folder a model")
    folders = [each.parent for each in sorted(store.glob(f"[!.]*/{MODEL_FILE}"))]
    named = {folder.name for folder in folders}
    archives = [each for each in sorted(store.glob("[!.]*.mar")) if each.stem not in named]
    listed = [*map(of_folder, folders), *map(of_archive, archives)]
    return sorted(listed, key=lambda each: each.name)


def of_folder(folder: Path) -> Listed:
    try:
        config = checked_config(folder)
        contents = contents_digest(dict(archive_contents(folder, config)))
    except (ModelFolderError, OSError) as error:
        return Listed(folder.name, problem=str(error).replace("\n", " "))
    packed = packed_digest(folder.parent / f"{config.name}.mar")
    state = UNPACKED if packed is None else CURRENT if packed == contents else STALE
    weights_bytes = (folder / config.weights).stat().st_size
    return Listed(folder.name, config, weights_bytes, state, (packed or "")[:SHOWN_DIGITS])


def of_archive(archive: Path) -> Listed:
    try:
        with ZipFile(archive) as packed:
            config = packed_config(packed)
            weights_bytes = packed.getinfo(config.weights).file_size
            state = CURRENT if dict(code_in(packed)) == dict(own_code()) else OTHER_CODE
            digest = packed.comment.decode("ascii", "replace")[:SHOWN_DIGITS]
    except (OSError, BadZipFile, KeyError, yaml.YAMLError, ValidationError) as error:
        return Listed(archive.stem, problem=f"{archive} is no archive of ours: {error!s:.200}")
    return Listed(archive.stem, config, weights_bytes, state, digest)


def code_in(packed: ZipFile) -> Iterator[tuple[str, bytes]]:
    for name in packed.namelist():
        if name.startswith("handlers/"):
            yield name, packed.read(name)
