"""Packs the models before TorchServe starts: settings in, the names of the packed models out.

A model with a folder is packed where its archive is not current; one without a folder has its
archive checked. A model that cannot be served is logged and left out; the others are served. Called
by `service.worker.run`.
"""

import errno
import shutil
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

import structlog

from model_store.tools.archive.model_folder import checked_config
from model_store.tools.archive.package import package
from model_store.tools.archive.read import check_archive
from service.settings import Settings

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CANNOT_WRITE = (errno.EROFS, errno.EACCES, errno.EPERM)
# where service/worker/torchserve.py has TorchServe's temporary folder
UNPACKED_IN = Path("/tmp")  # noqa: S108
# sockets, configuration, and Java's own files
OTHER_BYTES = 5_000_000

logger = structlog.get_logger("fcnserve.worker")


def pack_models(settings: Settings) -> Sequence[str]:
    """Return the names of the models that TorchServe can load.

    Raises the error of the last one, OSError or ValueError, where there is none.
    """
    packed: list[str] = []
    for index, name in enumerate(settings.models):
        try:
            pack(settings.model_store, name)
        except (OSError, ValueError) as error:
            if index + 1 == len(settings.models) and not packed:
                raise
            logger.error("the model is left out", model=name, reason=one_line(error))
        else:
            packed.append(name)
    check_space([settings.model_store / f"{name}.mar" for name in packed])
    return packed


def pack(store: Path, name: str) -> None:
    """Bring a model's archive up to date; without a folder, the archive has to be there.

    Raises OSError and ValueError.
    """
    folder, archive = store / name, store / f"{name}.mar"
    if folder.is_dir():
        pack_folder(folder, store)
    elif archive.exists():
        check_archive(archive)
    else:
        raise FileNotFoundError(
            f"no model {name!a}: neither {folder} nor {archive} exists; see FCNSERVE_MODELS"
        )


def pack_folder(folder: Path, store: Path) -> None:
    """Write the folder's archive into the store where it is not current.

    Raises OSError and ValueError.
    """
    name = folder.name
    if (configured := checked_config(folder).name) != name:
        raise ValueError(
            f"{folder}/model.yaml names its model {configured!a}; "
            f"a folder in the model store has its model's name: rename one of them"
        )
    try:
        package(folder, store)
    except OSError as error:
        if error.errno in NO_SPACE:
            raise ValueError(
                f"{store} has no room for {name}.mar; make room in it, or name a folder "
                "elsewhere in FCNSERVE_MODEL_STORE"
            ) from error
        if error.errno not in CANNOT_WRITE:
            raise
        raise ValueError(
            f"{store} cannot be written, and its {name}.mar is missing or differs from what "
            f"{folder} packs to: run `fcnserve model package {folder}` with the release that "
            "serves it"
        ) from error


def check_space(archives: Sequence[Path], folder: Path = UNPACKED_IN) -> None:
    """Raise ValueError where TorchServe could not unpack the archives: it would end with a trace
    that does not name the cause, at every start.
    """
    unpacked_bytes = 0
    for archive in archives:
        with ZipFile(archive) as opened:
            unpacked_bytes += sum(file.file_size for file in opened.infolist())
    free_bytes = shutil.disk_usage(folder).free
    needed_bytes = unpacked_bytes + OTHER_BYTES
    if free_bytes < needed_bytes:
        raise ValueError(
            f"{folder} has {free_bytes / 1e6:.0f} MB left, and TorchServe unpacks its models "
            f"there: {needed_bytes / 1e6:.0f} MB; make room"
        )


def one_line(error: Exception) -> str:
    """Join an error's lines, for a field of the log."""
    return "; ".join(line.strip() for line in str(error).splitlines())
