"""An archive (`.mar`) in, its configuration and digest out, and whether TorchServe can serve it.

Called by `service.worker`, by the packing and by the listing of a store.
"""

import json
import zlib
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import yaml
from pydantic import ValidationError

from handlers.model_config import MODEL_FILE, ModelConfig
from model_store.tools.archive.model_folder import ModelFolderError, format_errors

MANIFEST = "MAR-INF/MANIFEST.json"


def check_archive(archive: Path) -> None:
    """Check that TorchServe can unpack an archive, and that its model has the file's name.

    Raises OSError and ModelFolderError.
    """
    repack = "make it with `fcnserve model package`"
    try:
        with ZipFile(archive) as packed:
            if damaged := packed.testzip():
                raise ModelFolderError(f"{archive} is damaged, in {damaged}; {repack}")
            name = json.loads(packed.read(MANIFEST))["model"]["modelName"]
            packed_config(packed)
    except ValidationError as error:
        raise ModelFolderError(
            f"{archive}, {MODEL_FILE}:{format_errors(error)}; {repack}"
        ) from error
    except (BadZipFile, zlib.error, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, ModelFolderError):
            raise
        raise ModelFolderError(f"{archive} is no archive of a model; {repack}") from error
    if name != archive.stem:
        raise ModelFolderError(
            f"{archive} holds a model named {name!a}, by which it would be served; name the file "
            f"{name}.mar, or {repack} from a folder that has another `name:`"
        )


def packed_config(packed: ZipFile) -> ModelConfig:
    """Read the `model.yaml` of an open archive; raises KeyError, YAMLError and ValidationError."""
    return ModelConfig.model_validate(yaml.safe_load(packed.read(MODEL_FILE)))


def packed_digest(archive: Path) -> str | None:
    """Read the contents' digest that `write_archive` stored; None without a readable archive."""
    try:
        with ZipFile(archive) as packed:
            return packed.comment.decode("ascii", "replace")
    except (OSError, BadZipFile):
        return None
