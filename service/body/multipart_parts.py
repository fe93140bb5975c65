"""python-multipart's events in, complete parts of a form out. Used by `service.body.multipart`."""

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
EXTENDED_FILENAME = re.compile(
    r""";\s*filename\*\s*=\s*"?(utf-8|iso-8859-1)'[^']*'([^;"\s]*)""", re.IGNORECASE
)
# transfer encodings that leave a part's bytes as they are
UNENCODED = frozenset({b"", b"binary", b"8bit", b"7bit"})


@dataclass(frozen=True, slots=True)
class FormPart:
    """A part's field name, its file name (None for a text field), and its content."""

    name: str
    filename: str | None
    body: bytes = b""


@dataclass(slots=True)
class PartReader:
    """Assembles parts, and passes each to `add` once it is complete."""

    add: Callable[[FormPart], None]
    is_complete: bool = False  # the closing boundary has been read
    _headers: dict[bytes, bytes] = field(default_factory=dict)
    _name: bytearray = field(default_factory=bytearray)
    _value: bytearray = field(default_factory=bytearray)
    _part: FormPart = field(default_factory=lambda: FormPart("", None))
    _body: list[bytes] = field(default_factory=list)

    def callbacks(self) -> "MultipartCallbacks":
        """Return what python-multipart's parser calls."""
        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_content,
            "on_part_data": lambda data, start, end: self._body.append(data[start:end]),
            "on_part_end": self._end_part,
            "on_end": self._end_form,
        }

    def _end_header(self) -> None:
        name, value = bytes(self._name).lower(), bytes(self._value).strip()
        if name in self._headers and name in {DISPOSITION, TRANSFER}:
            raise BadMultipartError(f"a part has two headers {name.decode()}; send one")
        self._headers[name] = value
        self._name.clear()
        self._value.clear()

    def _begin_content(self) -> None:
        self._part = part_of(self._headers)
        self._body.clear()

    def _end_part(self) -> None:
        self.add(FormPart(self._part.name, self._part.filename, b"".join(self._body)))
        self._body.clear()

    def _end_form(self) -> None:
        self.is_complete = True


def part_of(headers: dict[bytes, bytes]) -> FormPart:
    """Read a part's headers; raises BadMultipartError."""
    transfer = headers.get(TRANSFER, b"").lower()
    if transfer not in UNENCODED:
        raise BadMultipartError(
            f"a part's Content-Transfer-Encoding is {transfer[:40]!a}; send its bytes as they are"
        )
    disposition = headers.get(DISPOSITION, b"")
    options = {key: decoded(value) for key, value in parse_options_header(disposition)[1].items()}
    if b"name" not in options:
        raise BadMultipartError(
            'a part has no header Content-Disposition: form-data; name="..."; send one with each'
        )
    filename = options.get(b"filename")
    if filename is None:
        filename = extended_filename(disposition)
    return FormPart(options[b"name"], filename)


def decoded(value: bytes) -> str:
    """Decode a parameter as UTF-8, which browsers send, or else as Latin-1, as older clients do."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def extended_filename(disposition: bytes) -> str | None:
    """Read `filename*` (RFC 5987), which RFC 7578 forbids in forms, and some clients send."""
    match = EXTENDED_FILENAME.search(disposition.decode("latin-1"))
    return unquote(match[2], match[1], "replace") if match else None
