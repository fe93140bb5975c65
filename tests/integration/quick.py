"""Models with a short warm-up, for tests that do not depend on shared passes."""

import shutil
from pathlib import Path

from tests.support.server import MODEL, ROOT
from tests.support.worker import change_model

# few shared passes to try at warm-up; a worker that hangs is found within seconds
QUICK = {"ladder": {"cpu": [128]}, "response_timeout_s": 5}


def put_quick_model(store: Path) -> None:
    """Copy the default model into a store: the same masks after a shorter warm-up."""
    shutil.copytree(ROOT / "model_store" / MODEL, store / MODEL)
    change_model(store / MODEL, batching=QUICK)
