"""The table by which exceptions of Pillow and simplejpeg become problems of an image.

A decoder meeting bytes it did not expect raises nearly anything. The table lists what was seen
from mutated files and what the libraries' sources raise; it is not `Exception`, so that a defect
of our own (NameError) or a lack of memory stays what it is. Used by the reader of each format.
"""

import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from PIL.Image import DecompressionBombError

from handlers.shared.errors import BrokenImageError, ProblemError, TooManyPixelsError

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
_TOO_MANY_PIXELS = "the {format} image has more pixels than its decoder accepts; downscale it"
_DAMAGED = (
    "the {format} data cannot be decoded: it is damaged, cut short, or not what its "
    "header says; send the whole file, or save the image again"
)
# exception -> problem and detail; the first that matches counts
PROBLEMS: Mapping[type[Exception], tuple[type[ProblemError], str]] = {
    DecompressionBombError: (TooManyPixelsError, _TOO_MANY_PIXELS),
    **dict.fromkeys(DECODER_ERRORS, (BrokenImageError, _DAMAGED)),
}


@contextmanager
def translated(format_name: str) -> Iterator[None]:
    """Turn a decoder's exception into a ProblemError, by the table."""
    try:
        yield
    except tuple(PROBLEMS) as error:
        problem, detail = next(row for kind, row in PROBLEMS.items() if isinstance(error, kind))
        raise problem(detail.format(format=format_name)) from error


def ignore_decoder_warnings() -> None:
    """Silence Pillow's warnings about odd files, for the whole process; call it at its start.

    Their texts carry numbers from the file, and Python remembers each text it has shown: with
    photos of unknown clients that is a leak.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
