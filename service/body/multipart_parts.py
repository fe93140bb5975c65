"""The parts of a form, as the parser walks over it: its events in, whole parts out.

Called by `service.body.multipart`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from python_multipart.multipart import parse_options_header

from service.errors import BadMultipartError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

DISPOSITION, TRANSFER = b"content-disposition", b"content-transfer-encoding"
EXTENDED = re.compile(
    r""";\s*filename\*\s*=\s*"?(utf-8|iso-8859-1)'[^']*'([^;"\s]*)""", re.IGNORECASE
)
# what may be said of a part's bytes that are there as they are
PLAIN = frozenset({b"", b"binary", b"8bit", b"7bit"})


@dataclass(frozen=True, slots=True)
class FormPart:
    """A part's field, the name that its sender gave the file, if it is one, and what it holds."""

    name: str
    filename: str | None
    body: bytes = b""


@dataclass(slots=True)
class PartReader:
    """Puts parts together, and hands each over once it has come to its end."""

    take: Callable[[FormPart], None]
    ended: bool = False  # at the closing boundary
    _headers: dict[bytes, bytes] = field(default_factory=dict)
    _name: bytearray = field(default_factory=bytearray)
    _value: bytearray = field(default_factory=bytearray)
    _part: FormPart = field(default_factory=lambda: FormPart("", None))
    _body: list[bytes] = field(default_factory=list)

    def callbacks(self) -> "MultipartCallbacks":
        """What python_multipart's parser calls."""
        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._keep_header,
            "on_headers_finished": self._begin,
            "on_part_data": lambda data, start, end: self._body.append(data[start:end]),
            "on_part_end": self._end,
            "on_end": self._close,
        }

    def _keep_header(self) -> None:
        name, value = bytes(self._name).lower(), bytes(self._value).strip()
        if name in self._headers and name in {DISPOSITION, TRANSFER}:
            raise BadMultipartError(f"a part has two headers {name.decode()}; send one")
        self._headers[name] = value
        self._name.clear()
        self._value.clear()

    def _begin(self) -> None:
        self._part = part_of(self._headers)
        self._body.clear()

    def _end(self) -> None:
        self.take(FormPart(self._part.name, self._part.filename, b"".join(self._body)))
        self._body.clear()

    def _close(self) -> None:
        self.ended = True


def part_of(headers: dict[bytes, bytes]) -> FormPart:
    """Read what a part says of itself; raises BadMultipartError."""
    transfer = headers.get(TRANSFER, b"").lower()
    if transfer not in PLAIN:
        raise BadMultipartError(
            f"a part's Content-Transfer-Encoding is {transfer[:40]!a}; send its bytes as they are"
        )
    said = headers.get(DISPOSITION, b"")
    options = {key: text_of(value) for key, value in parse_options_header(said)[1].items()}
    if b"name" not in options:
        raise BadMultipartError(
            'a part has no header Content-Disposition: form-data; name="..."; send one with each'
        )
    filename = options.get(b"filename")
    return FormPart(options[b"name"], extended_filename(said) if filename is None else filename)


def text_of(value: bytes) -> str:
    """Decode a parameter as browsers encode it, and as older senders do."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def extended_filename(disposition: bytes) -> str | None:
    """Read `filename*` (RFC 5987), which forms should not have (RFC 7578), and have."""
    found = EXTENDED.search(disposition.decode("latin-1"))
    return unquote(found[2], found[1], "replace") if found else None
