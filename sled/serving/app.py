"""The web application: its doors, and what holds for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from sled.serving import elevenlabs
from sled.serving.contract import DETAILS, ERRORS
from sled.serving.errors import CODE_OF_STATUS, ApiError, ConnectionEnded, describe_problem
from sled.serving.guard import UPLOAD_PATHS, Guard
from sled.serving.openai import (
    batch,
    captioned,
    consents,
    conversions,
    lists,
    speech,
    tokens,
    voices,
)
from sled.serving.page import router as page
from sled.serving.server import Server
from sled.serving.websocket import connection


def make_app(server: Server) -> FastAPI:
    """The application of a server."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        starting = asyncio.create_task(server.start())
        yield
        starting.cancel()
        with suppress(asyncio.CancelledError):
            await starting

    app = FastAPI(title="SLED", version="1", lifespan=lifespan, redoc_url=None)
    app.state.server = server
    doors = (speech, batch, captioned, conversions, lists, voices, consents, tokens, connection)
    for door in doors:
        app.include_router(door.router, responses=ERRORS)
    app.include_router(elevenlabs.router, responses=DETAILS)
    app.include_router(page.router)
    _add_health(app, server)
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(ConnectionEnded, _on_departure)
    app.add_exception_handler(Exception, _on_fault)
    origins = server.settings.cors_origins
    app.add_middleware(Guard, server=server, origins=origins)
    if origins:  # around the guard: a browser asks without a key whether it may ask
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["*"],
        )
    return app


def _add_health(app: FastAPI, server: Server) -> None:
    not_now: dict[int | str, dict[str, Any]] = {503: {"description": "not now"}}

    @app.get("/health", tags=["operation"], responses=not_now)
    async def health() -> JSONResponse:
        """Whether the server works; 503 if its engine is stuck or the model cannot be loaded."""
        return JSONResponse(
            {"status": "ok" if server.healthy else "failed"}, 200 if server.healthy else 503
        )

    @app.get("/ready", tags=["operation"], responses=not_now)
    async def ready() -> JSONResponse:
        """Whether a request would be taken now; 503 while loading and while shutting down."""
        return JSONResponse({"ready": server.ready}, 200 if server.ready else 503)

    @app.get("/metrics", tags=["operation"], response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(generate_latest(server.registry), media_type=CONTENT_TYPE_LATEST)


def _answer(request: Request, error: ApiError) -> JSONResponse:
    return JSONResponse(error.body(request.url.path), error.status, dict(error.headers()))


async def _on_api_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return _answer(request, error)


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    """The first problem of a body or a query, in OpenAI's form."""
    assert isinstance(error, RequestValidationError)
    problem = error.errors()[0]
    message, param = describe_problem(problem)
    expected = "multipart/form-data" if _takes_files(request) else "application/json"
    given = request.headers.get("content-type", expected)
    if problem["loc"][:1] == ("body",) and not given.startswith(expected):
        wrong = f"send the body as {expected}, not {given!r}"
        return _answer(request, ApiError("media_type_unsupported", wrong))
    return _answer(request, ApiError("invalid_value", message, param))


def _takes_files(request: Request) -> bool:
    return request.url.path in UPLOAD_PATHS


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, ApiError):  # raised while the body was read
        return _answer(request, error.__cause__)
    code = CODE_OF_STATUS.get(error.status_code, "invalid_value")
    message = f"{request.method} {request.url.path}: {error.detail}"
    headers = dict(error.headers or {})
    if error.status_code == 405 and (methods := _methods(request)):
        headers = {"allow": ", ".join(sorted(methods))}  # the framework names those of one route
    return JSONResponse(ApiError(code, message).body(request.url.path), error.status_code, headers)


def _methods(request: Request) -> set[str]:
    """The methods of the path of a request, of all routes that are documented."""
    documented = request.app.openapi()["paths"].items()
    return {
        method.upper()
        for path, operations in documented
        if compile_path(path)[0].match(request.url.path)
        for method in operations
    }


async def _on_departure(request: Request, error: Exception) -> Response:
    """Nobody receives an answer: the client has left. The status is that of nginx for this."""
    return Response(status_code=499)


async def _on_fault(request: Request, error: Exception) -> JSONResponse:
    """An error of our own; the log tells more, with the same request id."""
    name = request.scope.get("request_id", "")
    fault = ApiError("internal_error", f"the request failed (id {name}): see the log")
    answer = _answer(request, fault)
    answer.headers["x-request-id"] = name  # this answer does not pass through the guard
    return answer
