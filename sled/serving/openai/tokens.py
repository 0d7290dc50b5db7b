"""Tokens for browsers, which cannot send a key when they open a WebSocket."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from sled.serving.caller import present_caller
from sled.serving.keys import TOKEN_S
from sled.serving.requests import server_of

router = APIRouter(prefix="/v1", tags=["operation"])


class Token(BaseModel):
    """A token that stands for a key."""

    token: str = Field(description="goes into the query of a WebSocket as ?token=")
    expires_in: int = Field(description="seconds in which a WebSocket can be opened with it")


@router.post("/tokens")
async def make_token(request: Request) -> Token:
    """A token that opens WebSockets in the place of the key of this request."""
    keys = server_of(request).keys
    return Token(token=keys.make_token(present_caller().key), expires_in=TOKEN_S)
