"""Packing: a model folder and the worker's code in, a TorchServe archive (`.mar`) out.

The archive holds `handlers/` whole: a worker runs what was packed, not what lies on its machine.
It is a zip with a manifest. torch-model-archiver would write the same, but stages in one fixed
temporary folder, where two copies of the service would overwrite each other's files.
"""

import hashlib
import json
import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo

import yaml
from pydantic import ValidationError

import handlers
from handlers.model_config import MODEL_FILE, ModelConfig, load_config
from model_store.tools.archive.yaml_errors import findings_of

HANDLERS = Path(handlers.__file__).parent
ENTRY = "entry.py"
TORCHSERVE_FILE = "torchserve.yaml"
MANIFEST = "MAR-INF/MANIFEST.json"

# seconds: TorchServe gives up restarting a crashing worker after so long; this is 23 days
MAX_RETRY_TIMEOUT_S = 2_000_000
# a large network on a busy machine takes minutes to load and warm up; unless told, TorchServe
# starts over after two
STARTUP_TIMEOUT_S = 300


class ModelFolderError(ValueError):
    """The folder holds no model that could be packed."""


def package(folder: Path, store: Path) -> Path:
    """Write `store/NAME.mar` for the model in `folder`, unless it is there with the same contents.

    Raises OSError and ModelFolderError. The archive appears at once or not at all.
    """
    config = checked_config(folder)
    archive = store / f"{config.name}.mar"
    contents = dict(archive_contents(folder, config))
    digest = contents_digest(contents)
    if packed_digest(archive) != digest:
        write_archive(archive, contents, digest)
    return archive


def checked_config(folder: Path) -> ModelConfig:
    """Read `model.yaml`; raises ModelFolderError, which names each key that is wrong."""
    file = folder / MODEL_FILE
    try:
        return load_config(folder)
    except FileNotFoundError as error:
        missing = f"no {file}" if folder.is_dir() else f"there is no folder {folder}, so no {file}"
        raise ModelFolderError(f"{missing}: a model is a folder that holds one") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ModelFolderError(f"{file} is not YAML: {error}") from error
    except ValidationError as error:
        raise ModelFolderError(f"{file}:{listed(error)}") from error


def listed(error: ValidationError) -> str:
    """List what is wrong with a `model.yaml`: behind a colon, or a line each."""
    findings = findings_of(error)
    return f" {findings[0]}" if len(findings) == 1 else "".join(f"\n  {each}" for each in findings)


def check_archive(archive: Path) -> None:
    """See whether TorchServe can unpack an archive, and will know the model by the file's name.

    Raises OSError and ModelFolderError.
    """
    again = "make it with `fcnserve model package`"
    try:
        with ZipFile(archive) as packed:
            if damaged := packed.testzip():
                raise ModelFolderError(f"{archive} is damaged, in {damaged}; {again}")
            named = json.loads(packed.read(MANIFEST))["model"]["modelName"]
            packed_config(packed)
    except ValidationError as error:
        raise ModelFolderError(f"{archive}, {MODEL_FILE}:{listed(error)}; {again}") from error
    except (BadZipFile, zlib.error, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, ModelFolderError):
            raise
        raise ModelFolderError(f"{archive} is no archive of a model; {again}") from error
    if named != archive.stem:
        raise ModelFolderError(
            f"{archive} holds a model named {named!a}, by which it would be served; name the file "
            f"{named}.mar, or {again} from a folder that has another `name:`"
        )


def packed_config(packed: ZipFile) -> ModelConfig:
    """Read the `model.yaml` of an open archive; raises KeyError, YAMLError and ValidationError."""
    return ModelConfig.model_validate(yaml.safe_load(packed.read(MODEL_FILE)))


def archive_contents(folder: Path, config: ModelConfig) -> Iterator[tuple[str, bytes]]:
    """Name every file of the archive, with its bytes."""
    yield from own_code()
    yield ENTRY, (HANDLERS / ENTRY).read_bytes()
    for name in (MODEL_FILE, config.weights):
        yield name, (folder / name).read_bytes()
    yield TORCHSERVE_FILE, yaml.safe_dump(torchserve_settings(config)).encode()
    yield MANIFEST, json.dumps(manifest(config)).encode()


def own_code() -> Iterator[tuple[str, bytes]]:
    """Name the worker's sources as archives hold them, with their bytes."""
    for source in sorted(HANDLERS.rglob("*.py")):
        yield f"handlers/{source.relative_to(HANDLERS)}", source.read_bytes()


def torchserve_settings(config: ModelConfig) -> dict[str, object]:
    """Translate `batching` into TorchServe's words; workers are the operator's to choose, and
    `batchSize` depends on the machine (`service.worker.torchserve`).
    """
    return {
        "maxBatchDelay": config.batching.max_delay_ms,
        "responseTimeout": config.batching.response_timeout_s,
        "startupTimeout": STARTUP_TIMEOUT_S,
        "maxRetryTimeoutInSec": MAX_RETRY_TIMEOUT_S,
    }


def manifest(config: ModelConfig) -> dict[str, object]:
    return {
        "runtime": "python",
        "createdOn": "01/01/1980 00:00:00",  # TorchServe wants a date; no two archives differ by it
        "archiverVersion": "0.12.0",
        "model": {
            "modelName": config.name,
            "modelVersion": config.version,
            "handler": ENTRY,
            "configFile": TORCHSERVE_FILE,
        },
    }


def contents_digest(contents: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, data in contents.items():
        digest.update(f"{name}:{len(data)}:".encode() + data)
    return digest.hexdigest()


def packed_digest(archive: Path) -> str | None:
    """Read what `write_archive` noted in an archive; None where there is none, or not ours."""
    try:
        with ZipFile(archive) as packed:
            return packed.comment.decode("ascii", "replace")
    except (OSError, BadZipFile):
        return None


def write_archive(archive: Path, contents: dict[str, bytes], digest: str) -> None:
    """Write beside the archive, then rename: nobody ever reads half of one."""
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
