"""The settings of the server: flags, then environment variables that begin with SLED_."""

from __future__ import annotations

import logging
import os
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from typing_extensions import Self

logger = logging.getLogger(__name__)
PREFIX = "SLED_"

# The names of OpenAI's voices, which some clients do not let their users change.
OPENAI_VOICES = [
    "alloy",
    "ash",
    "ballad",
    "cedar",
    "coral",
    "echo",
    "fable",
    "marin",
    "nova",
    "onyx",
    "sage",
    "shimmer",
    "verse",
]


class ServerSettings(BaseSettings):
    """Settings of `sled serve`; each is a flag, and SLED_ with its name a variable."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore")

    model: str | None = Field(
        None, description="checkpoint: folder, hub name, or a bundled model; unset: english"
    )
    codec: str | None = Field(None, description="codec folder or hub name; unset: the model's own")
    device: str = Field("auto", description="cpu, cuda, cuda:1, mps, or auto")
    dtype: str = Field("auto", description="precision of the model; see `sled doctor`")
    host: str = Field("127.0.0.1", description="address to listen at; 0.0.0.0 for all")
    port: int = Field(8000, description="port to listen at; 0 for a free one", ge=0, le=65535)
    wyoming_port: int | None = Field(
        None,
        description="port to listen at for Home Assistant, in the Wyoming protocol, often 10200; "
        "unset: none",
        ge=0,
        le=65535,
    )
    keys: Annotated[list[str], NoDecode] = Field(
        default_factory=list, description="API keys that are accepted; unset: none is needed"
    )
    keys_file: Path | None = Field(
        None, description="JSON file with digests, names and limits of more keys"
    )
    token_secret: str | None = Field(
        None, description="signs tokens for browsers; the same for all servers behind one address"
    )
    insecure: bool = Field(
        False, description="allow addresses beyond this machine (loopback) without keys"
    )
    cors_origins: Annotated[list[str], NoDecode] = Field(
        default_factory=list, description="web origins whose pages may use the server"
    )
    voices: Path | None = Field(
        None,
        description="folder of voice files from `sled voices make`, whose names are voices; keeps "
        "uploads, which are else forgotten",
    )
    presets: Path | None = Field(
        None, description="JSON file of names that stand for a voice and settings"
    )
    consent: Literal["attest", "recording", "off"] = Field(
        "attest",
        description="how a speaker agrees to be cloned: as the client states, recorded, or not "
        "asked",
    )
    max_sessions: int = Field(64, description="most utterances at a time", ge=1)
    max_load: float = Field(
        0.85,
        description="highest predicted real-time factor of a step, the new session included",
        gt=0,
    )
    max_starting: int = Field(
        6,
        description="most utterances that are filling their playback buffer at a time, or a "
        "quarter of those with buffered audio, if that is more",
        ge=1,
    )
    queue_s: float = Field(1.0, description="how long a request waits for its turn", ge=0)
    max_queued: int = Field(32, description="most requests that wait", ge=0)
    max_input_chars: int = Field(50_000, description="longest text of a request", ge=1)
    max_lead_s: float = Field(
        10.0, description="seconds of audio sent ahead of a listener at a WebSocket", gt=0
    )
    stall_s: float = Field(30.0, description="cut off a client that takes nothing for this", gt=0)
    text_timeout_s: float = Field(
        30.0, description="end the text of a WebSocket when nothing more comes for this", gt=0
    )
    idle_s: float = Field(300.0, description="close an idle WebSocket after this", gt=0)
    log_format: Literal["human", "json"] = Field("human", description="lines for people, or JSON")
    log_text: bool = Field(False, description="log the texts, which may be private")
    drain_s: float = Field(120.0, description="time that sessions get to end at shutdown", ge=0)

    @field_validator("keys", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """A list in an environment variable is written with commas."""
        if isinstance(value, str):
            value = [one.strip() for one in value.split(",") if one.strip()]
        return value

    @field_validator("keys")
    @classmethod
    def _check_keys(cls, keys: list[str]) -> list[str]:
        if not all(map(str.strip, keys)):
            raise ValueError("a key is blank: give one that is hard to guess")
        return keys

    @field_validator("voices")
    @classmethod
    def _check_folder(cls, folder: Path | None) -> Path | None:
        if folder is not None and not folder.is_dir():
            raise ValueError(f"there is no folder {folder}: create it first")
        return folder

    @model_validator(mode="after")
    def _check_exposure(self) -> Self:
        has_keys = bool(self.keys) or self.keys_file is not None
        if not has_keys and not self.insecure and not is_loopback(self.host):
            raise ValueError(
                f"--host {self.host} can be reached by others: set --keys, or --insecure if that "
                "is intended"
            )
        if self.wyoming_port is not None and not self.insecure and not is_loopback(self.host):
            raise ValueError(
                f"--host {self.host} can be reached by others, and the Wyoming protocol has no "
                "keys: set --insecure if that is intended, or no --wyoming_port"
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether only the own machine can reach an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load_settings(**flags: Any) -> ServerSettings:
    """Read the settings from flags and the environment.

    Args:
        **flags: Values of the flags that are set.

    Raises:
        ValueError: If a value is wrong; the message names each flag.
    """
    known = {f"{PREFIX}{name}".upper() for name in ServerSettings.model_fields}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known:
            logger.warning("%s is not a setting of the server: it has no effect", name)
    try:
        return ServerSettings(**flags)
    except ValidationError as error:
        problems = []
        for one in error.errors():
            flag = "".join(f"--{place} " for place in one["loc"][:1])
            problems.append(flag + one["msg"].removeprefix("Value error, "))
        raise ValueError("; ".join(problems)) from None
