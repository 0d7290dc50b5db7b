"""Lists of models, as clients of OpenAI's API and Open WebUI ask for them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from sled.serving.requests import server_of
from sled.serving.service import MODEL_ALIASES

router = APIRouter(prefix="/v1", tags=["lists"])


@router.get("/")
async def index() -> dict[str, str]:
    """Some clients ask for it, to open a connection."""
    return {"object": "sled"}


@router.get("/models")
async def list_models(request: Request) -> dict[str, Any]:
    """The models."""
    return {"object": "list", "data": [_model(one) for one in _model_names(request)]}


@router.get("/models/{name}")
async def show_model(request: Request, name: str) -> dict[str, Any]:
    """One model."""
    server_of(request).service.check_model(name)
    return _model(name)


@router.get("/audio/models")
async def list_audio_models(request: Request) -> dict[str, Any]:
    """The models, as Open WebUI asks for them."""
    return {"models": [{"id": name, "name": name} for name in _model_names(request)]}


def _model_names(request: Request) -> list[str]:
    return [server_of(request).service.name, *MODEL_ALIASES]


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "sled"}
