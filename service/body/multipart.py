"""`multipart/form-data` in, the files of its fields out. Called by `service.body.content_type`.

The body is in memory already. What other servers accept is accepted (a preamble, text fields beside
the files, a file whose name is encoded or missing); what two servers might read differently is an
error.

python-multipart parses. Starlette's `request.form()`, which is built on it, copies files above 1 MB
to disk, and reads neither a boundary that only the body names nor `filename*`; so the parser's
events are handled here.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from starlette.datastructures import Headers

from service.body.boundary import boundary_of, normalised
from service.body.multipart_parts import FormPart, PartReader
from service.errors import BadMultipartError, TooManyImagesError

MAX_BATCH_IMAGES = 32
# of text, which are ignored
MAX_FIELDS = 32
# other requests get their turn between two pieces of a large body; the slowest takes 10 ms
PIECE_BYTES = 250_000


@dataclass(frozen=True, slots=True)
class Upload:
    """One file of a form, and the name that its client gave it."""

    body: bytes
    filename: str


@dataclass(frozen=True, slots=True)
class FormLimits:
    """The fields that hold images, and how many files there may be."""

    fields: tuple[str, ...]
    max_files: int
    description: str  # for error messages


ONE_IMAGE = FormLimits(("image",), 1, 'one file in the field "image"')
IMAGES = FormLimits(
    ("images", "image"), MAX_BATCH_IMAGES, f'1 to {MAX_BATCH_IMAGES} files in the field "images"'
)


async def from_multipart(headers: Headers, body: bytes) -> bytes:
    """Extract the one file in the field `image`; raises BadMultipartError."""
    (upload,) = await read_form(headers, body, ONE_IMAGE)
    return upload.body


async def read_form(headers: Headers, body: bytes, limits: FormLimits) -> list[Upload]:
    """Extract at least one file; raises BadMultipartError and, where several are allowed,
    TooManyImagesError.
    """
    boundary = boundary_of(headers, body)
    form = Form(limits)
    reader = PartReader(form.add)
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        for piece in pieces(normalised(body, boundary)):
            parser.write(piece)
            await asyncio.sleep(0)
    except FormParserError as error:  # its text is the parser's own, none of the body's
        raise BadMultipartError(
            f"the body is not multipart/form-data with {limits.description}: {error}"
        ) from error
    if not reader.is_complete or not form.uploads:
        raise form.incomplete()
    return form.uploads


def pieces(body: bytes) -> Iterator[bytes]:
    """Cut a body, so that parsing a large one does not block other requests."""
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]


@dataclass(slots=True)
class Form:
    """The parts of a form so far."""

    limits: FormLimits
    uploads: list[Upload] = field(default_factory=list)
    text_fields: list[str] = field(default_factory=list)  # ignored

    def add(self, part: FormPart) -> None:
        """Keep a part that is an image; raises BadMultipartError and TooManyImagesError."""
        if part.name in self.limits.fields:
            self.uploads.append(Upload(part.body, part.filename or ""))
            self._check_files()
        elif part.filename is None:
            self.text_fields.append(part.name)
            if len(self.text_fields) > MAX_FIELDS:
                raise BadMultipartError(
                    f"the form has more than {MAX_FIELDS} fields beside "
                    f"{self.limits.description}; leave them out"
                )
        else:
            raise BadMultipartError(
                f"a file is in the field {part.name[:40]!a}; send {self.limits.description} and no "
                "other"
            )

    def _check_files(self) -> None:
        max_files = self.limits.max_files
        if len(self.uploads) <= max_files:
            return
        if max_files > 1:
            raise TooManyImagesError(
                f"the form has more than {max_files} files; send the others in another request"
            )
        raise BadMultipartError(
            f"the form has more than {self.limits.description}; send several images to "
            "/v1/segment/batch"
        )

    def incomplete(self) -> BadMultipartError:
        """Describe what a form lacks that is truncated, or has no image."""
        files = f"{len(self.uploads) or 'no'} whole file{'s' * (len(self.uploads) > 1)}"
        names = ", ".join(map(ascii, self.text_fields[:3]))
        beside = f" (there are {names})" if names else ""
        return BadMultipartError(
            f'{files} in the field "{self.limits.fields[0]}"{beside}; send '
            f"{self.limits.description}, and a closing boundary"
        )
