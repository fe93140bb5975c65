"""Models that are ready soon, for tests that look at something else than what photos may share."""

import shutil
from pathlib import Path

import yaml

from handlers.model_config import MODEL_FILE
from tests.integration.server import MODEL, ROOT

# few shared passes to be tried; a worker that hangs is soon found
QUICK = {"ladder": {"cpu": [128]}, "response_timeout_s": 5}


def put_quick_model(store: Path) -> None:
    """Put a copy of the default model into a store: the same masks after a shorter warm-up."""
    shutil.copytree(ROOT / "model_store" / MODEL, store / MODEL)
    change(store / MODEL, batching=QUICK)


def change(folder: Path, **keys: object) -> None:
    """Give `model.yaml` other values of these keys."""
    file = folder / MODEL_FILE
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | keys))
