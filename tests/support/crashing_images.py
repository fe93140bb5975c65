"""Photos that end the process that decodes them, and a copy of the worker with such a decoder.

None of the decoders is known to crash: a copy of `handlers` gets one that obeys the last bytes of a
photo. Each crashing image is another image; other decoders read the photo that it was made of.
"""

import shutil
from pathlib import Path

from handlers.model_config import load_config
from model_store.tools.archive.package import archive_contents, write_archive

ROOT = Path(__file__).parents[2]
DECODERS = "handlers/shared/photo/__init__.py"
OBEYING = b'''

_sound_decode = decode


def decode(body, header, orientation="exif"):
    """Obey the photo's last bytes, and decode it if that is still possible."""
    import ctypes, os, signal, time

    order = bytes(body[-16:]).strip(b"\\0").rstrip(b"0123456789")
    if order.endswith(b"SEGFAULT"):
        ctypes.string_at(0)
    if order.endswith(b"ABORT"):
        os.abort()
    if order.endswith(b"SIGKILL"):
        os.kill(os.getpid(), signal.SIGKILL)
    if order.endswith(b"HOLD"):  # the interpreter's lock, without an end
        ctypes.PyDLL(None).pause()
    if order.endswith(b"SPIN"):
        while True:
            pass
    if order.endswith(b"PAUSE"):
        time.sleep(0.2)
    return _sound_decode(body, header, orientation)
'''


def crashing_image(photo: bytes, order: str, number: int = 0) -> bytes:
    """Make a photo that ends its decoder by `order`; JPEG decoders skip trailing bytes."""
    return photo + f"{order}{number}".encode().rjust(16, b"\0")


def copy_of_worker(folder: Path) -> Path:
    """Copy `handlers` to a folder, with a decoder that obeys; return that folder."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "handlers", folder / "handlers", ignore=ignored)
    with (folder / DECODERS).open("ab") as decoders:
        decoders.write(OBEYING)
    return folder


def put_obeying_archive(model: Path, store: Path) -> None:
    """Pack a model with a decoder that obeys, into a store that has no folder of it."""
    contents = dict(archive_contents(model, load_config(model)))
    contents[DECODERS] += OBEYING
    write_archive(store / f"{model.name}.mar", contents, "")
