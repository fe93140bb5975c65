"""Before TorchServe starts: each model asked for is packed where it has a folder, else looked at.

One that cannot be served is told of and left out, and keeps no other from being served. Called by
`service.worker.run`.
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

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# where service/worker/torchserve.py has TorchServe's temporary folder
UNPACKED_IN = Path("/tmp")  # noqa: S108
# sockets, configuration, what Java keeps
BESIDE_BYTES = 5_000_000
CANNOT_WRITE = (errno.EROFS, errno.EACCES, errno.EPERM)

logger = structlog.get_logger("fcnserve.worker")


def pack_models(settings: Settings) -> Sequence[str]:
    """Name the models that TorchServe may be given; raises what is wrong with the last where there
    is none, as OSError or ValueError.
    """
    packed: list[str] = []
    for place, name in enumerate(settings.models):
        try:
            pack(settings.model_store, name)
        except (OSError, ValueError) as error:
            if place + 1 == len(settings.models) and not packed:
                raise
            logger.error("the model is left out", model=name, reason=in_a_line(error))
        else:
            packed.append(name)
    check_room([settings.model_store / f"{name}.mar" for name in packed])
    return packed


def check_room(archives: Sequence[Path], folder: Path = UNPACKED_IN) -> None:
    """Raise ValueError where TorchServe could not unpack the archives: it would end with a trace
    that names no cause, again and again.
    """
    unpacked_bytes = 0
    for archive in archives:
        with ZipFile(archive) as packed:
            unpacked_bytes += sum(file.file_size for file in packed.infolist())
    free_bytes = shutil.disk_usage(folder).free
    wanted_bytes = unpacked_bytes + BESIDE_BYTES
    if free_bytes < wanted_bytes:
        raise ValueError(
            f"{folder} has {free_bytes / 1e6:.0f} MB left, and TorchServe unpacks its models "
            f"there: {wanted_bytes / 1e6:.0f} MB; make room"
        )


def in_a_line(error: Exception) -> str:
    """Write what lists its findings, a line each, as a log's field."""
    return "; ".join(line.strip() for line in str(error).splitlines())


def pack(store: Path, name: str) -> None:
    """Bring a model's archive up to date; one without a folder must be there already.

    Raises OSError and ValueError.
    """
    folder, archive = store / name, store / f"{name}.mar"
    if folder.is_dir():
        if (named := checked_config(folder).name) != name:
            raise ValueError(
                f"{folder}/model.yaml names its model {named!a}; "
                f"a folder in the model store has its model's name: rename one of them"
            )
        try:
            package(folder, store)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise ValueError(
                    f"{store} has no room for {name}.mar; make room in it, or name a folder "
                    "elsewhere in FCNSERVE_MODEL_STORE"
                ) from error
            if error.errno not in CANNOT_WRITE:
                raise
            raise ValueError(
                f"{store} cannot be written, and its {name}.mar is missing or not what {folder} "
                f"packs to: run `fcnserve model package {folder}` with the release that serves it"
            ) from error
    elif archive.exists():
        check_archive(archive)
    else:
        raise FileNotFoundError(
            f"no model {name!a}: neither {folder} nor {archive} exists; see FCNSERVE_MODELS"
        )
