"""Voices: a recording and its transcript, prepared once so that speaking with them starts at once.

What takes time is done beforehand: encoding the recording, reading it with the model (keys and
values of its text and frames), and running the codec's decoder through it.
"""

from __future__ import annotations

import json
import weakref
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sled.codec import Codec
from sled.codec.stream_state import StreamState
from sled.decoding import Decoder, DecodingOptions, Request, UtteranceState
from sled.model.cache import CachedRow
from sled.model.interface import FrameModel
from sled.model.layout import Layout
from sled.text.incremental import IncrementalTokenizer
from sled.text.tokenizer import TextTokenizer

FILE_FORMAT = "sled-voice-1"


@dataclass(frozen=True, eq=False)
class Voice:
    """A voice that one model and one codec speak with.

    Attributes:
        text: What is said in the recording.
        latents: [P, D] float32 frames of the recording.
        layout: In which the model has read them.
        prefill: The model after the text and as many of the frames as the layout puts before any
            further text; to be continued by `Decoder.restore`.
        run_in: The codec's decoder after the frames.
        samples_run_in: Samples that have come out of it by then.
        model: Whose voice it is.
    """

    text: str
    latents: Tensor
    layout: Layout
    prefill: UtteranceState
    run_in: StreamState
    samples_run_in: int
    model: weakref.ref[FrameModel]

    @property
    def num_positions(self) -> int:
        """Positions of the model that the recording and its text take."""
        return len(self.latents) + len(self.prefill.rows[0].token_ids)

    def check(self, model: FrameModel, layout: Layout) -> None:
        """Make sure that the voice can be spoken with.

        Raises:
            ValueError: If it was prepared for another model or another layout.
        """
        if self.model() is not model:
            raise ValueError("the voice was prepared for another model: prepare it for this one")
        if self.layout != layout:
            raise ValueError(
                f"the voice was prepared for {self.layout}, not {layout}: prepare it for that"
            )

    @classmethod
    def prepare(
        cls,
        text: str,
        latents: Tensor,
        *,
        model: FrameModel,
        tokenizer: TextTokenizer,
        codec: Codec,
        layout: Layout | None = None,
    ) -> Voice:
        """Let model and codec go through a recording.

        Args:
            text: What is said in it.
            latents: [P, D] its frames.
            model, tokenizer, codec: What will speak.
            layout: To speak in. None: the checkpoint's own.

        Raises:
            ValueError: If the model's positions leave no room after the recording.
        """
        decoder = Decoder(model)
        request = prompt_request(text, latents, tokenizer)
        # Under guidance: the text-free companion is left out later if it is not wanted.
        decoder.join(request, options=DecodingOptions(), layout=layout)
        decoder.read_ahead()
        prefill = decoder.save(decoder.utterances[0])
        return cls._assemble(text, latents, layout or model.layout, prefill, model, codec)

    @classmethod
    def _assemble(
        cls,
        text: str,
        latents: Tensor,
        layout: Layout,
        prefill: UtteranceState,
        model: FrameModel,
        codec: Codec,
    ) -> Voice:
        latents = latents.float()
        stream = codec.stream_decoder()
        samples = stream.decode(latents[None]).shape[1]
        return cls(text, latents, layout, prefill, stream.state, samples, weakref.ref(model))

    def save(self, path: str | Path, model_digest: str, codec: Codec) -> None:
        """Write a voice file.

        Args:
            path: Of the file.
            model_digest: Of the model's weights; no other will be able to use the file.
            codec: Nor any other codec.
        """
        row = self.prefill.rows[0]
        tensors = {"latents": self.latents.cpu(), "token_ids": torch.tensor(row.token_ids)}
        for number, cached in enumerate(self.prefill.cached):
            tensors[f"keys.{number}"], tensors[f"values.{number}"] = (x.cpu() for x in cached)
        description = {
            "text": self.text,
            "text_chunk": self.layout.text_chunk,
            "speech_chunk": self.layout.speech_chunk,
            "model": model_digest,
            "codec": codec.digest(),
        }
        metadata = {"format": FILE_FORMAT, "voice": json.dumps(description)}
        save_file(tensors, str(path), metadata=metadata)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        model: FrameModel,
        model_digest: str,
        tokenizer: TextTokenizer,
        codec: Codec,
    ) -> Voice:
        """Read a voice file.

        Raises:
            ValueError: If there is none, it is broken, or it was made with another model,
                tokenizer or codec.
        """
        description, tensors = _read_file(Path(path))
        text, latents = description["text"], tensors["latents"].to(model.device)
        request = prompt_request(text, latents, tokenizer)
        parts = {
            "model": (description["model"], model_digest),
            "codec": (description["codec"], codec.digest()),
            "tokenizer": (tensors["token_ids"].tolist(), list(request.token_ids)),
        }
        for part, (theirs, ours) in parts.items():
            if theirs != ours:
                raise ValueError(
                    f"{path} was made with another {part} (or in another precision): make it again "
                    "with `sled voices make`, with the same --dtype"
                )
        layout = Layout(description["text_chunk"], description["speech_chunk"])
        decoder = Decoder(model)
        utterance = decoder.join(request, options=DecodingOptions(), layout=layout)
        for row in utterance.rows:  # as after reading ahead
            del row.unread[:-1]
        cached = tuple(
            CachedRow(*(tensors[f"{what}.{row}"].to(model.device) for what in ("keys", "values")))
            for row in range(len(utterance.rows))
        )
        prefill = replace(decoder.save(utterance), cached=cached)
        return cls._assemble(text, latents, layout, prefill, model, codec)


def _read_file(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Description and tensors of a voice file.

    Raises:
        ValueError: If it is none.
    """
    remedy = "make one with `sled voices make`"
    if not path.is_file():
        raise ValueError(f"no voice file at {path}: {remedy}")
    try:
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is no voice file that can be read ({error}): {remedy}") from error
    names = {
        "latents",
        "token_ids",
        *(f"{kv}.{row}" for kv in ("keys", "values") for row in (0, 1)),
    }
    if metadata.get("format") != FILE_FORMAT or tensors.keys() != names:
        raise ValueError(f"{path} is no voice file: {remedy}")
    return json.loads(metadata["voice"]), tensors


def prompt_request(text: str, latents: Tensor, tokenizer: TextTokenizer) -> Request:
    """A request to speak on after a prompt: its text, and its frames [P, D]."""
    token_ids = IncrementalTokenizer(tokenizer).feed(f"{text} ")
    return Request(token_ids, latents, text_ended=False, prompt_tokens=len(token_ids))
