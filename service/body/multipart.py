"""`multipart/form-data` in, the files of its fields out. Called by `service.body.content_type`.

The body is in memory already. What others read is read (a preamble, fields of text beside the
files, a file whose name is encoded or missing); what has two readings is refused.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from starlette.datastructures import Headers

from service.body.boundary import boundary_of, with_usual_start
from service.body.multipart_parts import FormPart, PartReader
from service.errors import BadMultipartError, TooManyImagesError

MAX_BATCH_IMAGES = 32
# fields of text, which are passed over
MAX_FIELDS = 32
# between two pieces of a large body others get their turn; the worst takes 10 ms
PIECE_BYTES = 250_000


@dataclass(frozen=True, slots=True)
class Upload:
    """One file of a form, and the name that its sender gave it."""

    body: bytes
    filename: str


@dataclass(frozen=True, slots=True)
class Form:
    """What a form may hold."""

    fields: tuple[str, ...]
    max_files: int
    wanted: str  # in words


ONE_IMAGE = Form(("image",), 1, 'one file in the field "image"')
IMAGES = Form(
    ("images", "image"), MAX_BATCH_IMAGES, f'1 to {MAX_BATCH_IMAGES} files in the field "images"'
)


async def from_multipart(headers: Headers, body: bytes) -> bytes:
    """Take the one file in the field `image`; raises BadMultipartError."""
    (upload,) = await read_form(headers, body, ONE_IMAGE)
    return upload.body


async def read_form(headers: Headers, body: bytes, form: Form) -> list[Upload]:
    """Take at least one file; raises BadMultipartError and, from a form of several,
    TooManyImagesError.
    """
    boundary = boundary_of(headers, body)
    found = Found(form)
    reader = PartReader(found.take)
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        for piece in pieces(with_usual_start(body, boundary)):
            parser.write(piece)
            await asyncio.sleep(0)
    except FormParserError as error:  # its words are the parser's own, none of the body's
        raise BadMultipartError(
            f"the body is not multipart/form-data with {form.wanted}: {error}"
        ) from error
    if not reader.ended or not found.uploads:
        raise BadMultipartError(found.complaint())
    return found.uploads


def pieces(body: bytes) -> Iterator[bytes]:
    """Cut the body, so that parsing a large one does not keep others waiting."""
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]


@dataclass(slots=True)
class Found:
    """What has been found of a form so far."""

    form: Form
    uploads: list[Upload] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)  # of text, which are passed over

    def take(self, part: FormPart) -> None:
        """Keep a part that is an image; raises BadMultipartError and TooManyImagesError."""
        if part.name in self.form.fields:
            self.uploads.append(Upload(part.body, part.filename or ""))
            self._check_files()
        elif part.filename is None:
            self.fields.append(part.name)
            if len(self.fields) > MAX_FIELDS:
                raise BadMultipartError(
                    f"the form has more than {MAX_FIELDS} fields beside {self.form.wanted}; "
                    "leave them out"
                )
        else:
            raise BadMultipartError(
                f"a file is in the field {part.name[:40]!a}; send {self.form.wanted} and no other"
            )

    def _check_files(self) -> None:
        most = self.form.max_files
        if len(self.uploads) <= most:
            return
        if most > 1:
            raise TooManyImagesError(
                f"the form has more than {most} files; send the others in another request"
            )
        raise BadMultipartError(
            f"the form has more than {self.form.wanted}; send several images to /v1/segment/batch"
        )

    def complaint(self) -> str:
        """Say what a form lacks that came to its end, or broke off, without being right."""
        files = f"{len(self.uploads) or 'no'} whole file{'s' * (len(self.uploads) > 1)}"
        beside = f" (there are {', '.join(map(ascii, self.fields[:3]))})" if self.fields else ""
        return (
            f'{files} in the field "{self.form.fields[0]}"{beside}; send {self.form.wanted}, and '
            "a closing boundary"
        )
