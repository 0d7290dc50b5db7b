"""Checks before any door: keys, origins, sizes of bodies; and a name for each request."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections import deque
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sled.serving.errors import ApiError

MAX_BODY_BYTES = 1 << 20
# What needs no key: some clients list voices and models without one.
OPEN_PATHS = {
    "/health",
    "/ready",
    "/v1/",
    "/v1/models",
    "/v1/audio/models",
    "/v1/audio/voices",
}
_REQUEST_ID = re.compile(r"[!-~]{1,128}")


class Guard:
    """Middleware around the whole application.

    Args:
        app: The application.
        keys: The keys that are accepted. Empty: none is needed.
        origins: Web origins whose pages may use sockets, beside that of the server itself.
    """

    def __init__(self, app: ASGIApp, keys: Sequence[str], origins: Sequence[str]) -> None:
        self._app, self._origins = app, origins
        self._digests = [_digest(key) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request and pass it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        name = given if _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        scope["request_id"] = name

        async def send_named(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                MutableHeaders(scope=message)["x-request-id"] = name
            await send(message)

        try:
            self._check(scope, headers)
            if headers.get("transfer-encoding", "").lower() == "chunked":
                receive = await _buffered(receive)
        except ApiError as error:
            await _refuse(scope, send_named, error)
            return
        await self._app(scope, receive, send_named)

    def _check(self, scope: Scope, headers: Headers) -> None:
        if self._digests and scope["path"] not in OPEN_PATHS:
            digest = _digest(_key(headers))
            # All keys are compared, so that the time does not tell which one is close.
            if not sum(hmac.compare_digest(digest, one) for one in self._digests):
                raise ApiError(
                    "invalid_api_key", "give a valid key in the header `authorization: Bearer ...`"
                )
        if scope["type"] == "websocket":
            self._check_origin(headers)
        size = headers.get("content-length", "0")
        if size.isdigit() and int(size) > MAX_BODY_BYTES:
            raise _too_large()

    def _check_origin(self, headers: Headers) -> None:
        """A page of another origin may not open a socket: browsers leave that to the server."""
        origin = headers.get("origin")
        if origin is None or origin in self._origins or "*" in self._origins:
            return
        if urlsplit(origin).netloc != headers.get("host"):
            raise ApiError(
                "invalid_api_key", f"pages of {origin} may not use this server: see --cors_origins"
            )


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _key(headers: Headers) -> str:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else headers.get("xi-api-key", "")


def _too_large() -> ApiError:
    return ApiError("body_too_large", f"the request is larger than {MAX_BODY_BYTES} bytes")


async def _buffered(receive: Receive) -> Receive:
    """Read a body whose size was not announced, as far as it may be large.

    Raises:
        ApiError: `body_too_large`.
    """
    body, message = b"", await receive()
    while message["type"] == "http.request":
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
        if not message.get("more_body", False):
            break
        message = await receive()
    kept = deque([{"type": "http.request", "body": body, "more_body": False}])

    async def replay() -> Message:
        return kept.popleft() if kept else await receive()

    return replay


async def _refuse(scope: Scope, send: Send, error: ApiError) -> None:
    """Answer a request, or the handshake of a socket."""
    kind = "http.response" if scope["type"] == "http" else "websocket.http.response"
    body = json.dumps(error.body()).encode()
    headers = {"content-type": "application/json", **error.headers()}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": f"{kind}.start", "status": error.status, "headers": encoded})
    await send({"type": f"{kind}.body", "body": body})
