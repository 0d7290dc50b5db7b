"""Reads the events of the Wyoming protocol, within limits.

An event is a line of JSON with a type, and, as long as the line says, more JSON and a payload. The
package `wyoming` reads them as well, but as long as a client says, and its errors are of any kind.
"""

from __future__ import annotations

import json
from asyncio import IncompleteReadError, LimitOverrunError, StreamReader
from typing import Any

from wyoming.event import Event

# An event holds at most the text of an utterance, in which JSON may write 12 bytes a character.
MAX_EVENT_BYTES = 1 << 20
_PIECE = 1 << 16


class MalformedEvent(ValueError):
    """What a client sent is no event."""


async def read_event(reader: StreamReader) -> Event | None:
    """The next event, without its payload; None if the connection has ended.

    Args:
        reader: Its limit has to be `MAX_EVENT_BYTES`.

    Raises:
        MalformedEvent: What was sent is no event, or too long.
    """
    try:
        line = await reader.readuntil(b"\n")
    except LimitOverrunError:
        raise MalformedEvent(f"the line of an event exceeds {MAX_EVENT_BYTES} bytes") from None
    except IncompleteReadError as error:
        if error.partial:
            raise MalformedEvent("the connection ended within an event") from None
        return None
    header = _parse(line)
    kind, data = header.get("type"), header.get("data")
    if not isinstance(kind, str):
        raise MalformedEvent("an event has no type")
    if not isinstance(data, dict | None):
        raise MalformedEvent("the data of an event is a JSON object")
    lengths = [_length(header, name) for name in ("data_length", "payload_length")]
    try:
        more = await reader.readexactly(lengths[0])
        for place in range(0, lengths[1], _PIECE):
            await reader.readexactly(min(_PIECE, lengths[1] - place))
    except IncompleteReadError:
        raise MalformedEvent("the connection ended within an event") from None
    return Event(kind, {**(data or {}), **(_parse(more) if more else {})})


def _parse(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise MalformedEvent("an event is not valid JSON") from None
    if not isinstance(value, dict):
        raise MalformedEvent("an event is a JSON object")
    return value


def _length(header: dict[str, Any], name: str) -> int:
    value = header.get(name)
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= MAX_EVENT_BYTES:
        raise MalformedEvent(f"{name} is not an integer from 0 to {MAX_EVENT_BYTES}")
    return value
