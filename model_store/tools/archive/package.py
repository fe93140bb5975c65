"""Packing: a model folder and the worker's code in, a TorchServe archive (`.mar`) out.

The archive holds all of `handlers/`: a worker runs the code that was packed, not the code on its
machine. It is a zip with a manifest. torch-model-archiver would write the same, but stages in one
fixed temporary folder, where two copies of the service would overwrite each other's files. Called
by `fcnserve model package` and `service.worker.archives`.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import yaml

import handlers
from handlers.model_config import MODEL_FILE, ModelConfig
from model_store.tools.archive.model_folder import checked_config
from model_store.tools.archive.read import MANIFEST, packed_digest

HANDLERS = Path(handlers.__file__).parent
ENTRY = "entry.py"
TORCHSERVE_FILE = "torchserve.yaml"

# seconds: TorchServe gives up restarting a crashing worker after so long; this is 23 days
MAX_RETRY_TIMEOUT_S = 2_000_000
# a large network on a busy machine takes minutes to load and warm up; TorchServe's default restarts
# the worker after two
STARTUP_TIMEOUT_S = 300


def package(folder: Path, store: Path) -> Path:
    """Write `store/NAME.mar` for the model in `folder`, unless it is there with the same contents.

    Raises OSError and ModelFolderError. The write is atomic.
    """
    config = checked_config(folder)
    archive = store / f"{config.name}.mar"
    contents = dict(archive_contents(folder, config))
    digest = contents_digest(contents)
    if packed_digest(archive) != digest:
        write_archive(archive, contents, digest)
    return archive


def archive_contents(folder: Path, config: ModelConfig) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of every file of the archive."""
    yield from worker_sources()
    yield ENTRY, (HANDLERS / ENTRY).read_bytes()
    for name in (MODEL_FILE, config.weights):
        yield name, (folder / name).read_bytes()
    yield TORCHSERVE_FILE, yaml.safe_dump(torchserve_settings(config)).encode()
    yield MANIFEST, json.dumps(manifest(config)).encode()


def worker_sources() -> Iterator[tuple[str, bytes]]:
    """Yield the worker's sources, by their names in the archive, with their bytes."""
    for source in sorted(HANDLERS.rglob("*.py")):
        yield f"handlers/{source.relative_to(HANDLERS)}", source.read_bytes()


def torchserve_settings(config: ModelConfig) -> dict[str, object]:
    """Translate `batching` into TorchServe's settings.

    The number of workers is the operator's setting. There is no `batchSize`: each request of a
    gateway is a batch.
    """
    return {
        "maxBatchDelay": config.batching.max_delay_ms,
        "responseTimeout": config.batching.response_timeout_s,
        "startupTimeout": STARTUP_TIMEOUT_S,
        "maxRetryTimeoutInSec": MAX_RETRY_TIMEOUT_S,
    }


def manifest(config: ModelConfig) -> dict[str, object]:
    """Describe the archive to TorchServe."""
    return {
        "runtime": "python",
        # TorchServe requires a date; a fixed one keeps archives of the same contents identical
        "createdOn": "01/01/1980 00:00:00",
        "archiverVersion": "0.12.0",
        "model": {
            "modelName": config.name,
            "modelVersion": config.version,
            "handler": ENTRY,
            "configFile": TORCHSERVE_FILE,
        },
    }


def contents_digest(contents: dict[str, bytes]) -> str:
    """Hash all names and bytes, in hexadecimal SHA-256."""
    digest = hashlib.sha256()
    for name, data in contents.items():
        digest.update(f"{name}:{len(data)}:".encode() + data)
    return digest.hexdigest()


def write_archive(archive: Path, contents: dict[str, bytes], digest: str) -> None:
    """Write beside the archive, then rename: no reader finds half an archive."""
    handle, partial = tempfile.mkstemp(dir=archive.parent, prefix=f".{archive.stem}-")
    try:
        with os.fdopen(handle, "wb") as file, ZipFile(file, "w") as packed:
            for name, data in contents.items():
                packed.writestr(ZipInfo(name), data)  # no dates: same contents, same archive
            packed.comment = digest.encode()
        Path(partial).chmod(0o644)
        Path(partial).replace(archive)
    except BaseException:
        Path(partial).unlink()
        raise
