"""The folder that holds models and their archives: settings in, a folder that can be written out.

Called by `service.worker.run` and `fcnserve model list`.
"""

import os
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[3]


def writable_store(store: Path, root: Path = ROOT) -> Path:
    """Return the model store, or for the one inside an installed wheel a folder in the user's
    cache with links to its models: pip owns the files in site-packages, which may be read-only.

    Raises OSError.
    """
    is_wheel = (root / "__init__.py").exists()  # the package fcnserve, and no checkout
    if store != root / "model_store" or not is_wheel:
        return store
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(user_cache, "fcnserve", version("fcnserve"))
    cache.mkdir(parents=True, exist_ok=True)
    for config in store.glob("*/model.yaml"):
        link = cache / config.parent.name
        if link.resolve() != config.parent.resolve():
            link.unlink(missing_ok=True)
            with suppress(FileExistsError):  # another start has made it
                link.symlink_to(config.parent)
    return cache
