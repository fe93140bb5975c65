"""`multipart/form-data` in, the files of its fields out. Called by `service.body`."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from service.errors import BadMultipartError, TooManyImagesError

MAX_BATCH_IMAGES = 32
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
    parser = InMemoryParser(headers, pieces(body), max_files=form.max_files, max_fields=0)
    try:
        data = await parser.parse()
    except MultiPartException as error:
        if parser.files_begun > form.max_files > 1:
            raise TooManyImagesError(
                f"the form has more than {form.max_files} files; send the others in another request"
            ) from error
        raise BadMultipartError(
            f"the body is not multipart/form-data with {form.wanted} "
            f"and nothing else: {error.message}"  # the parser's own words, none of the body's
        ) from error
    else:
        return await whole_files(data, parser, form)
    finally:
        parser.close()


async def whole_files(data: FormData, parser: "InMemoryParser", form: Form) -> list[Upload]:
    files = [
        file
        for field, file in data.multi_items()
        if field in form.fields and isinstance(file, UploadFile)
    ]
    if not files or not parser.ended or len(files) < parser.files_begun:
        found = f"{len(files)} of {parser.files_begun}" if files else "no"
        raise BadMultipartError(
            f'{found} whole file{"s" * bool(files)} in the field "{form.fields[0]}"; '
            f"send {form.wanted}, with a filename each and a closing boundary"
        )
    uploads = []
    for file in files:
        uploads.append(Upload(await file.read(), file.filename or ""))
        await asyncio.sleep(0)
    return uploads


class InMemoryParser(MultiPartParser):
    """Starlette's parser, without its detour over the disk: the body is in memory already."""

    spool_max_size = 0  # of a SpooledTemporaryFile: never rolls over
    ended = False

    @property
    def files_begun(self) -> int:
        return self._current_files

    def on_end(self) -> None:
        self.ended = True  # at the closing boundary

    def close(self) -> None:
        """Close every file that was begun: a form knows only those that came to their end."""
        for file in self._files_to_close_on_error:
            file.close()


async def pieces(body: bytes) -> AsyncGenerator[bytes, None]:
    """Cut the body, so that parsing a large one does not stop the house."""
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]
        await asyncio.sleep(0)
