"""Lines of the log: for people, or JSON for programs. Each names the request it belongs to.

Texts and audio are never logged, unless the settings say so.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone
from typing import Any, Literal

from sled.serving.caller import present_caller

LogFormat = Literal["human", "json"]


class HumanFormatter(logging.Formatter):
    """Time, message, and the request."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """A line, and further ones with the place of an error."""
        line = super().format(record)
        request_id = present_caller().request_id
        return f"{line} [{request_id}]" if request_id else line


class JsonFormatter(logging.Formatter):
    """A JSON object in a line."""

    def format(self, record: logging.LogRecord) -> str:
        """A line."""
        caller = present_caller()
        time = datetime.fromtimestamp(record.created, timezone.utc)
        line: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if caller.request_id:
            line |= {"request_id": caller.request_id, "key": caller.key.name}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


# Uvicorn says this of each handshake of a WebSocket that was refused with a status.
_REFUSED_HANDSHAKE = "ASGI callable returned without completing handshake."


def _is_told(record: logging.LogRecord) -> bool:
    """Whether a line is written; what uvicorn has to say of a client's mistake has no trace."""
    if not record.name.startswith("uvicorn"):
        return True
    if record.exc_info and isinstance(record.exc_info[1], UnicodeDecodeError):
        record.exc_info, record.levelno, record.levelname = None, logging.WARNING, "WARNING"
    return record.msg != _REFUSED_HANDSHAKE


def configure_logging(log_format: LogFormat) -> None:
    """Write all lines of the log to the standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else HumanFormatter())
    handler.addFilter(_is_told)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
