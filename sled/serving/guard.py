"""Checks before any door: keys, origins, bodies; and a name for each request."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sled.serving.caller import Caller, set_caller
from sled.serving.elevenlabs.context import DOOR as ELEVENLABS
from sled.serving.errors import ApiError
from sled.serving.keys import ANYONE, Key
from sled.serving.openai.speech import DOOR as OPENAI
from sled.serving.server import Server
from sled.serving.waiting import within
from sled.serving.websocket.connection import DOOR as SOCKETS

MAX_BODY_BYTES = 1 << 20
# Recordings of 10 MiB, and the fields beside them.
MAX_UPLOAD_BYTES = 11 << 20
CONVERSION_PATH = "/v1/audio/voice_conversions"
UPLOAD_PATHS = ("/v1/audio/voices", "/v1/audio/voice_consents", CONVERSION_PATH)
# A recording in base64 beside the text.
MAX_SPEECH_BYTES = 4 << 20
# Speech of one text, and of several, each of which may be refused.
ONE_SPEECH_PATHS = ("/v1/audio/speech", "/dev/captioned_speech")
SPEECH_PATHS = (*ONE_SPEECH_PATHS, "/v1/audio/speech/batch")
SOCKET_PATH = "/v1/audio/speech/stream"
ELEVENLABS_PATHS = "/v1/text-to-speech/"
# A request has to arrive within this time.
BODY_S = 60.0
# What needs no key: some clients list voices and models without one.
OPEN_PATHS = {
    "/",
    "/health",
    "/ready",
    "/v1/",
    "/v1/models",
    "/v1/audio/models",
    "/v1/audio/voices",
    "/v1/voices",
    "/v2/voices",
}
# Nor do the files of the page, which asks for a key.
OPEN_FOLDER = "/page/"
# Sockets whose clients may give their key in the first message.
_KEY_IN_MESSAGE = re.compile(r"/v1/text-to-speech/[^/]+/(?:multi-)?stream-input")
_REQUEST_ID = re.compile(r"[!-~]{1,128}")
# Headers that hold a key, beside `authorization`.
_KEY_HEADERS = ("xi-api-key", "kyutai-api-key")


class Guard:
    """Middleware around the whole application.

    Args:
        app: The application.
        server: Knows the keys, and whether it takes new callers.
        origins: Web origins whose pages may use sockets, beside that of the server itself.
    """

    def __init__(self, app: ASGIApp, server: Server, origins: Sequence[str]) -> None:
        self._app, self._server, self._origins = app, server, origins

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
            if message["type"] in (
                "http.response.start",
                "websocket.accept",
                "websocket.http.response.start",
            ):
                MutableHeaders(scope=message)["x-request-id"] = name
            await send(message)

        try:
            if scope["type"] == "websocket":
                self._check_origin(headers)
            scope["needs_key"] = self._may_come_later(scope, headers)
            key = ANYONE if scope["needs_key"] else self._find_key(scope, headers)
            set_caller(Caller(name, key))
            if not scope["needs_key"]:
                self._check_open(scope, key)
            if scope["type"] == "http":
                receive = _Body(scope["path"], headers, receive).receive
        except ApiError as error:
            await _refuse(scope, send_named, error)
            return
        await self._app(scope, receive, send_named)

    def _check_open(self, scope: Scope, key: Key) -> None:
        """Refuse a caller who wants to speak and could not even wait for a turn.

        When many callers have to be refused, that takes no more time than it has to: nothing of
        their bodies and messages has been read.
        """
        if scope["type"] == "websocket":
            door = SOCKETS if scope["path"] == SOCKET_PATH else ELEVENLABS
        elif scope["method"] != "POST":
            return
        elif scope["path"].startswith(ELEVENLABS_PATHS):
            door = ELEVENLABS
        elif scope["path"] in (*ONE_SPEECH_PATHS, CONVERSION_PATH):
            door = OPENAI
        else:
            return
        with self._server.counting_refusals(door):
            self._server.check_open(key)

    def _may_come_later(self, scope: Scope, headers: Headers) -> bool:
        """Whether the door has to ask for a key, which may be in the first message."""
        if scope["type"] != "websocket" or not self._server.keys.needed or _given_key(headers):
            return False
        return _KEY_IN_MESSAGE.fullmatch(scope["path"]) is not None and not _given_token(scope)

    def _find_key(self, scope: Scope, headers: Headers) -> Key:
        """The key of a request.

        Raises:
            ApiError: If it has none and needs one, or has a wrong one.
        """
        keys = self._server.keys
        given = _given_key(headers)
        if not given and scope["type"] == "http" and _is_open(scope):
            return ANYONE
        if not given and scope["type"] == "websocket" and (token := _given_token(scope)):
            return keys.find_token(token)
        address = (scope.get("client") or ("",))[0]
        return keys.find(given, address)

    def _check_origin(self, headers: Headers) -> None:
        """A page of another origin may not open a socket: browsers leave that to the server."""
        origin = headers.get("origin")
        if origin is None or origin in self._origins or "*" in self._origins:
            return
        try:
            host = urlsplit(origin).netloc
        except ValueError:
            host = ""
        if not host or host != headers.get("host"):
            raise ApiError(
                "origin_not_allowed",
                f"pages of {origin} may not use this server: see --cors_origins",
            )


def _is_open(scope: Scope) -> bool:
    open_to_all = scope["path"] in OPEN_PATHS or scope["path"].startswith(OPEN_FOLDER)
    return open_to_all and scope["method"] in ("GET", "HEAD", "OPTIONS")


def _given_key(headers: Headers) -> str:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    return next((headers[name] for name in _KEY_HEADERS if name in headers), "")


def _given_token(scope: Scope) -> str:
    query: bytes = scope.get("query_string", b"")
    return parse_qs(query.decode("latin-1")).get("token", [""])[0]


class _Body:
    """The body of a request, as far as it is not too large and does not come too slowly.

    Args:
        path: The path of the request.
        headers: Its headers.
        receive: Receives messages of the request.

    Raises:
        ApiError: `body_too_large` if the headers say so.
    """

    def __init__(self, path: str, headers: Headers, receive: Receive) -> None:
        self._max_bytes = MAX_BODY_BYTES
        if path in UPLOAD_PATHS:
            self._max_bytes = MAX_UPLOAD_BYTES
        elif path in SPEECH_PATHS:
            self._max_bytes = MAX_SPEECH_BYTES
        self._receive, self._num_bytes, self._complete = receive, 0, False
        self._ends_s = time.monotonic() + BODY_S
        size = headers.get("content-length", "0")
        if size.isdigit() and int(size) > self._max_bytes:
            raise self._too_large()

    async def receive(self) -> Message:
        """The next message.

        Raises:
            ApiError: `body_too_large`, or `body_timeout`.
        """
        if self._complete:
            return await self._receive()
        try:
            message = await within(self._ends_s - time.monotonic(), self._receive())
        except TimeoutError:
            raise ApiError("body_timeout", f"the request took over {BODY_S:.0f} s") from None
        self._complete = not message.get("more_body", False)
        self._num_bytes += len(message.get("body", b""))
        if self._num_bytes > self._max_bytes:
            raise self._too_large()
        return message

    def _too_large(self) -> ApiError:
        return ApiError("body_too_large", f"the request is larger than {self._max_bytes} bytes")


async def _refuse(scope: Scope, send: Send, error: ApiError) -> None:
    """Answer a request, or the handshake of a socket."""
    kind = "http.response" if scope["type"] == "http" else "websocket.http.response"
    body = json.dumps(error.body(scope["path"])).encode()
    headers = {"content-type": "application/json", **error.headers()}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": f"{kind}.start", "status": error.status, "headers": encoded})
    await send({"type": f"{kind}.body", "body": body})
