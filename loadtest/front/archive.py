"""Packs the worker around the null network: a model folder in, an archive in a store out.

The archive is the one that `fcnserve` packs, with one module replaced and the benchmark's own added
beside it, so that production code has no seam for benchmarks. Called by `loadtest.front.servers`.
"""

from pathlib import Path

from model_store.tools.archive.model_folder import checked_config
from model_store.tools.archive.package import (
    ENTRY,
    archive_contents,
    contents_digest,
    write_archive,
)
from service.settings import ROOT

REPLACED = "handlers/runtime/load_network.py"
REPLACEMENT = b'''\
"""The null network in place of the model's."""

from loadtest.front.null_network import load_network as load_network
'''
STAMPED_ENTRY = b"""

from loadtest.front.stamped_worker import stamp_handler

FcnHandler.handle = stamp_handler(FcnHandler.handle)
"""
ADDED = (
    "loadtest/__init__.py",
    "loadtest/front/__init__.py",
    "loadtest/front/null_network.py",
    "loadtest/traffic/__init__.py",
    "loadtest/traffic/label_maps.py",
)
STAMPS = ("loadtest/front/stamped_worker.py", "loadtest/front/stamps.py")


def pack_null(folder: Path, store: Path, *, with_stamps: bool = False) -> str:
    """Write the archive into `store`; returns the model's name.

    With stamps, the handler writes when it gets and answers a batch: `loadtest.front.hops`. Raises
    OSError and ModelFolderError.
    """
    config = checked_config(folder)
    contents = dict(archive_contents(folder, config))
    if REPLACED not in contents:
        raise FileNotFoundError(f"{REPLACED} is not packed; the null network replaces it")
    contents[REPLACED] = REPLACEMENT
    contents |= {name: (ROOT / name).read_bytes() for name in ADDED}
    if with_stamps:
        contents |= {name: (ROOT / name).read_bytes() for name in STAMPS}
        contents[ENTRY] += STAMPED_ENTRY
    write_archive(store / f"{config.name}.mar", contents, contents_digest(contents))
    return config.name
