"""The routes of the page: a name in, its file out, with the headers that a browser enforces.

`service.app` adds them where the settings open the documentation.
"""

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from service.errors import NotFoundError
from service.page.files import INDEX, PageFile, read_files

# what the page may load and where it may send: its own files and this API, nothing else
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-cache",  # kept, but compared by its tag: modules of one version together
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def page_routes() -> APIRouter:
    """Read the files, and make the routes that serve them."""
    files, router = read_files(), APIRouter(include_in_schema=False)

    @router.get("/")
    async def index(request: Request) -> Response:
        return response(files[INDEX], request)

    @router.get("/page/{name:path}")
    async def file(request: Request, name: str) -> Response:
        if name not in files:
            raise NotFoundError(f"the page has no file {name[:80]!a}; it begins at /")
        return response(files[name], request)

    return router


def response(file: PageFile, request: Request) -> Response:
    """Answer with the file, or with 304 where the client has it."""
    headers = {**HEADERS, "ETag": file.etag}
    if file.is_current(request.headers.get("If-None-Match", "")):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(file.body, headers=headers, media_type=file.media_type)
