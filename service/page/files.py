"""The page's files, read once when the gateway starts: folders in, a table by name out.

Called by `service.page.routes`. Only names in the table are served, so no path of a request reaches
the file system. Starlette's StaticFiles was weighed: it asks the file system on each request, and
takes media types from the machine's configuration.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from service.settings import ROOT

FOLDERS: Mapping[str, Path] = {  # by the prefix of their names
    "": ROOT / "service" / "page" / "static",
    "samples/": ROOT / "service" / "samples",
}
INDEX = "index.html"
MEDIA_TYPES: Mapping[str, str] = {  # by suffix; other files are not served
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class PageFile:
    """The bytes of a file, and how to label them."""

    body: bytes
    media_type: str

    @cached_property
    def etag(self) -> str:
        """A strong entity tag, the same one in every gateway process and copy of the service."""
        return f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'

    def is_current(self, if_none_match: str) -> bool:
        """Return whether the client has these bytes, by its `If-None-Match` (RFC 9110, 13.1.2)."""
        tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
        return self.etag in tags or tags == ["*"]


def read_files(folders: Mapping[str, Path] = FOLDERS) -> Mapping[str, PageFile]:
    """Read the files below these folders, by prefix and path."""
    return {
        prefix + path.relative_to(folder).as_posix(): PageFile(
            path.read_bytes(), MEDIA_TYPES[path.suffix]
        )
        for prefix, folder in folders.items()
        for path in sorted(folder.rglob("*"))
        if path.suffix in MEDIA_TYPES
    }
