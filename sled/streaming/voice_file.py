"""Voice files: what model and codec have computed of a recording, in safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sled.codec import Codec
from sled.model.cache import CachedRow
from sled.model.layout import Layout

FORMAT_PREFIX = "sled-voice-"
FORMAT = f"{FORMAT_PREFIX}2"
CONDITION_PREFIX = "condition."
REMEDY = "make one with `sled voices make`"


@dataclass(frozen=True, eq=False)
class VoiceFile:
    """What a voice file holds.

    Attributes:
        text: Transcript of the recording, normalised.
        transcript: Transcript as it was given. Empty: not known.
        units: [P, ...] units of the recording.
        conditions: Vectors [width] by name.
        tokens: The token of the text that each unit says, as in `Voice`. None: not known.
        layout: The layout in which the model has read the recording.
        token_ids: The tokens that it has read, `<s>` included.
        cached: The keys and values of the row with text and, under guidance, of the one without.
        model_digest: Digest of the model's weights. No other model can speak with the voice.
        codec_digest: Digest of the codec. No other codec can be used.
    """

    text: str
    transcript: str
    units: Tensor
    conditions: Mapping[str, Tensor]
    tokens: Sequence[int] | None
    layout: Layout
    token_ids: list[int]
    cached: tuple[CachedRow, ...]
    model_digest: str
    codec_digest: str

    def write(self, path: str | Path, notes: Mapping[str, str] | None = None) -> None:
        """Write the file.

        Args:
            path: The file.
            notes: Further metadata, for example who agreed to it.
        """
        tensors = {"latents": self.units.cpu(), "token_ids": torch.tensor(self.token_ids)}
        for number, cached in enumerate(self.cached):
            tensors[f"keys.{number}"], tensors[f"values.{number}"] = (x.cpu() for x in cached)
        for name, vector in self.conditions.items():
            tensors[f"{CONDITION_PREFIX}{name}"] = vector.cpu().clone()
        description = {
            "text": self.text,
            "transcript": self.transcript,
            "tokens": self.tokens,
            "text_chunk": self.layout.text_chunk,
            "speech_chunk": self.layout.speech_chunk,
            "model": self.model_digest,
            "codec": self.codec_digest,
        }
        metadata = {**(notes or {}), "format": FORMAT, "voice": json.dumps(description)}
        save_file(tensors, str(path), metadata=metadata)

    @classmethod
    def read(cls, path: Path, codec: Codec | None = None) -> VoiceFile:
        """Read a file; its tensors are on the CPU.

        Args:
            path: The file.
            codec: The codec that it must have been made with. None: any.

        Raises:
            ValueError: If there is no such file, it is broken, or it was made with another codec.
        """
        metadata, tensors = _read_safetensors(path)
        description = json.loads(metadata["voice"])
        if codec is not None and description["codec"] != codec.digest():
            raise ValueError(f"{path} was made with another codec: make it again")
        num_rows = sum(name.startswith("keys.") for name in tensors)
        return cls(
            text=description["text"],
            transcript=description["transcript"],
            units=tensors["latents"],
            conditions={
                name.removeprefix(CONDITION_PREFIX): tensor
                for name, tensor in tensors.items()
                if name.startswith(CONDITION_PREFIX)
            },
            tokens=description["tokens"],
            layout=Layout(description["text_chunk"], description["speech_chunk"]),
            token_ids=tensors["token_ids"].tolist(),
            cached=tuple(
                CachedRow(tensors[f"keys.{row}"], tensors[f"values.{row}"])
                for row in range(num_rows)
            ),
            model_digest=description["model"],
            codec_digest=description["codec"],
        )


def _read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The metadata and the tensors of a voice file."""
    if not path.is_file():
        raise ValueError(f"no voice file at {path}: {REMEDY}")
    try:
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a readable voice file ({error}): {REMEDY}") from error
    names = {"latents", "token_ids", "keys.0", "values.0"}
    guided = names | {"keys.1", "values.1"}
    found = {name for name in tensors if not name.startswith(CONDITION_PREFIX)}
    form = metadata.get("format", "")
    if form.startswith(FORMAT_PREFIX) and form != FORMAT:
        raise ValueError(f"{path} is a voice file of another version of sled: {REMEDY} again")
    if form != FORMAT or found not in (names, guided):
        raise ValueError(f"{path} is not a voice file: {REMEDY}")
    return metadata, tensors
