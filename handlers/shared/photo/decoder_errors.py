"""Where exceptions of Pillow and simplejpeg become problems of ours: one table, one place.

A decoder meeting bytes it did not expect raises nearly anything. The table lists what was seen
from mutated files and what the libraries' sources raise; it is not `Exception`, so that a fault
in our own names (NameError) or a lack of memory stays what it is.
"""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from PIL.Image import DecompressionBombError

from handlers.shared.errors import BrokenImageError, TooManyPixelsError

DECODER_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    Warning,  # raised only where a process, such as a test, turns warnings into errors
    struct.error,
    zlib.error,
)


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn a decoder's exception about a file of format `name` into a ProblemError."""
    try:
        yield
    except DecompressionBombError as error:
        msg = f"the {name} image has more pixels than its decoder accepts; downscale it"
        raise TooManyPixelsError(msg) from error
    except DECODER_ERRORS as error:
        msg = (
            f"the {name} data cannot be decoded: it is damaged, cut short, or not what its "
            "header says; send the whole file, or save the image again"
        )
        raise BrokenImageError(msg) from error


def ignore_decoder_warnings() -> None:
    """Silence Pillow's warnings about odd files, for the whole process; call it at its start.

    Their texts carry numbers from the file, and Python remembers each text it has shown: with
    strangers' photos that is a leak.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
