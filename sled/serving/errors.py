"""Errors as clients of OpenAI's API read them, with a status, a type and a code for each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

# Code: status and type.
CODES = {
    "invalid_value": (400, "invalid_request_error"),
    "voice_not_found": (400, "invalid_request_error"),
    "text_empty": (400, "invalid_request_error"),
    "text_too_long": (400, "invalid_request_error"),
    "format_unsupported": (400, "invalid_request_error"),
    "marks_unsupported": (400, "invalid_request_error"),
    "mode_unsupported": (400, "invalid_request_error"),
    "prompt_too_long": (400, "invalid_request_error"),
    "missing_transcript": (400, "invalid_request_error"),
    "consent_required": (400, "invalid_request_error"),
    "model_not_found": (404, "invalid_request_error"),
    "not_found": (404, "invalid_request_error"),
    "method_not_allowed": (405, "invalid_request_error"),
    "voice_exists": (409, "invalid_request_error"),
    "body_timeout": (408, "invalid_request_error"),
    "input_timeout_exceeded": (408, "invalid_request_error"),
    "body_too_large": (413, "invalid_request_error"),
    "media_type_unsupported": (415, "invalid_request_error"),
    "invalid_api_key": (401, "authentication_error"),
    "origin_not_allowed": (403, "permission_error"),
    "permission_denied": (403, "permission_error"),
    "at_capacity": (429, "rate_limit_exceeded"),
    "too_many_sessions": (429, "rate_limit_exceeded"),
    "rate_limited": (429, "rate_limit_exceeded"),
    "starting": (503, "server_error"),
    "draining": (503, "server_error"),
    "engine_failed": (503, "server_error"),
    "storage_full": (507, "server_error"),
    "internal_error": (500, "server_error"),
}
CODE_OF_STATUS = {
    400: "invalid_value",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "media_type_unsupported",
}
# A name as people write them: printable, without a slash, and no space at either end.
NAME_PATTERN = r"^[^\s/\\\x00-\x1f\x7f]([^/\\\x00-\x1f\x7f]{0,62}[^\s/\\\x00-\x1f\x7f])?$"
LANGUAGE_PATTERN = r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$"
_IN_WORDS = {
    NAME_PATTERN: "give 1 to 64 printable characters, without slashes, and no space at the ends",
    LANGUAGE_PATTERN: "give a language tag, such as en or pt-BR",
}
# Below these paths, clients read errors in ElevenLabs' form.
_DETAIL_PATHS = ("/v1/text-to-speech/", "/v1/voices", "/v2/voices")


def describe_problem(problem: Mapping[str, Any]) -> tuple[str, str | None]:
    """What is wrong with a field, and which one, of an error that pydantic reports."""
    message, details = problem["msg"], problem.get("ctx", {})
    if problem["type"] == "json_invalid":  # its place is one in the text
        place = problem["loc"][-1]
        return f"the body is no JSON: {details['error']} at character {place}", None
    if problem["type"] == "string_pattern_mismatch":
        message = _IN_WORDS.get(details["pattern"], message)
    places = [str(place) for place in problem["loc"] if place not in ("body", "query", "path")]
    param = ".".join(places) or None
    return (f"{param}: " if param else "") + message, param


class ConnectionEnded(Exception):
    """A caller's connection has ended, or has to."""


class ApiError(Exception):
    """An error that is told to the client.

    Args:
        code: One of `CODES`.
        message: What is wrong, and what to do.
        param: The field that is wrong.
        retry_after_s: When to try again.

    Attributes:
        status: The HTTP status.
    """

    def __init__(
        self,
        code: str,
        message: str,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.param = code, message, param
        self.retry_after_s = retry_after_s
        self.status, self.type = CODES[code]

    def body(self, path: str = "") -> dict[str, Any]:
        """The body of the answer.

        Args:
            path: The path of the request. Each door has its own form of errors.
        """
        if path.startswith(_DETAIL_PATHS):
            detail = {"status": self.code, "message": self.message, "param": self.param}
            return {"detail": detail}
        error = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        return {"error": error}

    def headers(self) -> Mapping[str, str]:
        """Headers of the answer: when to try again, and whether that can help."""
        if self.retry_after_s is not None:
            return {
                "retry-after": str(math.ceil(self.retry_after_s)),
                "retry-after-ms": str(math.ceil(self.retry_after_s * 1000)),
            }
        # Clients of OpenAI repeat requests with these statuses unless told otherwise.
        return {"x-should-retry": "false"} if self.status == 409 or self.status >= 500 else {}
