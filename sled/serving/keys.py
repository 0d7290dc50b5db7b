"""API keys: who may use the server, and how much.

Keys come from the flag `--keys`, or from a JSON file that holds only their SHA-256 digests:

    {"keys": [{"name": "kiosk", "sha256": "...", "rate": "60/minute", "max_sessions": 4}]}

A browser cannot send a header when it opens a WebSocket, and an address is logged by proxies, so it
gets a token, which takes the place of a key for a minute.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import limits
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sled.files.json_object import read_json_object
from sled.serving.errors import ApiError

TOKEN_S = 60
# Attempts with wrong keys from one address.
MAX_WRONG_KEYS = limits.parse("60/minute")


@dataclass(frozen=True)
class Key:
    """Somebody who may use the server.

    Attributes:
        name: Is shown in logs and kept with voices; the key itself never is.
        digest: SHA-256 of the key.
        rate: How many utterances may be begun in how much time. None: any number.
        max_sessions: Most utterances at a time, those that wait included. None: any number.
    """

    name: str
    digest: bytes = b""
    rate: limits.RateLimitItem | None = None
    max_sessions: int | None = None


# Who calls if no key is needed.
ANYONE = Key("anyone")


class _KeyEntry(BaseModel):
    """A key in a file."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    name: str = Field(pattern=r"^[\w .@+-]{1,64}$")
    sha256: str = Field(pattern=r"^[0-9a-fA-F]{64}$")
    rate: limits.RateLimitItem | None = None
    max_sessions: int | None = Field(None, ge=1)

    @field_validator("rate", mode="before")
    @classmethod
    def _parse_rate(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return limits.parse(value)
        except ValueError:
            raise ValueError(f"{value!r} is no rate: write for example 60/minute") from None


class _KeysFile(BaseModel):
    """The content of a file of keys."""

    model_config = ConfigDict(extra="forbid")

    keys: list[_KeyEntry] = Field(min_length=1)


def read_keys(path: Path) -> list[Key]:
    """Read a file of keys.

    Raises:
        ValueError: If there is no such file, or it is wrong.
    """
    try:
        content = _KeysFile.model_validate(read_json_object(path))
    except OSError as error:
        raise ValueError(f"cannot read the keys in {path}: {error.strerror}") from error
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise ValueError(f"{path}: {place}: {problem['msg']}") from error
    keys = [
        Key(entry.name, bytes.fromhex(entry.sha256), entry.rate, entry.max_sessions)
        for entry in content.keys
    ]
    try:
        check_names(keys)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return keys


def check_names(keys: Sequence[Key]) -> None:
    """Check that no two keys have one name, by which their voices and limits are told apart.

    Raises:
        ValueError: If some have.
    """
    for name, count in Counter(key.name for key in keys).items():
        if count > 1:
            raise ValueError(f"there are {count} keys of the name {name!r}: rename one")


def key_named_by_digest(key: str) -> Key:
    """A key without a name of its own; its name stays when other keys come and go."""
    digest = digest_of(key)
    return Key(f"key-{digest.hex()[:8]}", digest)


def digest_of(key: str) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()


class Keys:
    """All keys, and how much of what they allow is used.

    Args:
        keys: The keys. Empty: none is needed.
        token_secret: Signs tokens. Servers behind one address need the same one. None: a new one.
    """

    def __init__(self, keys: Sequence[Key], token_secret: str | None = None) -> None:
        self._keys = list(keys)
        self._by_name = {key.name: key for key in keys}
        self._secret = (token_secret or secrets.token_hex(32)).encode()
        self._window = limits.strategies.MovingWindowRateLimiter(limits.storage.MemoryStorage())
        self._sessions: Counter[str] = Counter()

    @property
    def needed(self) -> bool:
        """Whether a key is needed."""
        return bool(self._keys)

    def find(self, given: str, address: str = "") -> Key:
        """Who a key belongs to.

        Args:
            given: The key.
            address: Where it comes from.

        Raises:
            ApiError: `invalid_api_key`; `rate_limited` after many wrong keys from that address.
        """
        if not self._keys:
            return ANYONE
        digest, found = digest_of(given), None
        # All keys are compared, so that the time does not tell which one is close.
        for key in self._keys:
            if hmac.compare_digest(digest, key.digest):
                found = key
        if given and found is not None:  # also if others at this address, as of a proxy, have none
            return found
        if given and not self._window.hit(MAX_WRONG_KEYS, "wrong", address):
            raise ApiError(
                "rate_limited",
                "too many wrong keys came from this address: wait a minute",
                retry_after_s=60.0,
            )
        raise ApiError(
            "invalid_api_key", "give a valid key in the header `authorization: Bearer ...`"
        )

    # Tokens.

    def make_token(self, key: Key) -> str:
        """A token that stands for a key for the next `TOKEN_S` seconds."""
        claim = f"{int(time.time()) + TOKEN_S}:{key.name}".encode()
        return _encode(claim) + "." + _encode(self._sign(claim))

    def find_token(self, token: str) -> Key:
        """Who a token was made for.

        Raises:
            ApiError: `invalid_api_key` if it is wrong or too old, or its key is gone.
        """
        claim, signature = (_decode(part) for part in (token + ".").split(".")[:2])
        expires, _, name = claim.decode(errors="replace").partition(":")
        valid = hmac.compare_digest(signature, self._sign(claim))
        key = self._by_name.get(name) if self._keys else ANYONE
        if not valid or key is None or int(expires) < time.time():
            raise ApiError(
                "invalid_api_key", "the token is wrong or too old: get one from /v1/tokens"
            )
        return key

    def _sign(self, claim: bytes) -> bytes:
        return hmac.digest(self._secret, claim, "sha256")

    # What a key allows.

    def check(self, key: Key) -> None:
        """Check whether another utterance could begin now.

        Raises:
            ApiError: `too_many_sessions`, or `rate_limited`.
        """
        if key.max_sessions is not None and self._sessions[key.name] >= key.max_sessions:
            raise ApiError(
                "too_many_sessions",
                f"key {key.name!r} allows {key.max_sessions} at a time: wait until one has ended",
                retry_after_s=1.0,
            )
        if key.rate is not None and not self._window.test(key.rate, key.name):
            reset_s = self._window.get_window_stats(key.rate, key.name).reset_time - time.time()
            raise ApiError(
                "rate_limited",
                f"key {key.name!r} allows {key.rate}: try again later",
                retry_after_s=max(0.1, reset_s),
            )

    @contextmanager
    def session(self, key: Key) -> Iterator[None]:
        """Count an utterance, for as long as the context lasts.

        Raises:
            ApiError: As `check`.
        """
        self.check(key)
        if key.rate is not None:
            self._window.hit(key.rate, key.name)
        self._sessions[key.name] += 1
        try:
            yield
        finally:
            self._sessions[key.name] -= 1
            if not self._sessions[key.name]:
                del self._sessions[key.name]


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    """The bytes of a part of a token; none if it is no base64."""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""
