"""A model folder in, its checked `model.yaml` out.

Called by every tool that takes a model folder, and by `service.worker.archives`.
"""

from pathlib import Path

import yaml
from pydantic import ValidationError

from handlers.model_config import MODEL_FILE, ModelConfig, load_config
from model_store.tools.archive.yaml_errors import yaml_errors


class ModelFolderError(ValueError):
    """The folder, or the archive, holds no model that a worker could serve."""


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
        raise ModelFolderError(f"{file}:{format_errors(error)}") from error


def format_errors(error: ValidationError) -> str:
    """Format the errors of a `model.yaml`: one behind a colon, several on a line each."""
    errors = yaml_errors(error)
    return f" {errors[0]}" if len(errors) == 1 else "".join(f"\n  {each}" for each in errors)
