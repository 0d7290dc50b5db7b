"""Sends the files of the page, with headers that confine it to this server."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from sled.serving.errors import ApiError

router = APIRouter(include_in_schema=False)

STATIC = Path(__file__).parent / "static"
# Said here, because some systems have no type, or a wrong one, for scripts.
MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
FILES = {path.name: path for path in STATIC.iterdir() if path.suffix in MEDIA_TYPES}
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "media-src blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    # After an update of the server, browsers must not mix old and new files.
    "cache-control": "no-cache",
}


@router.api_route("/", methods=["GET", "HEAD"])
async def page() -> FileResponse:
    """The page."""
    return _answer(FILES["index.html"])


@router.api_route("/page/{name}", methods=["GET", "HEAD"])
async def page_file(name: str) -> FileResponse:
    """A file of the page.

    Raises:
        ApiError: `not_found`.
    """
    if name not in FILES:
        raise ApiError("not_found", f"the page has no file {name!r}")
    return _answer(FILES[name])


def _answer(path: Path) -> FileResponse:
    return FileResponse(path, media_type=MEDIA_TYPES[path.suffix], headers=HEADERS)
