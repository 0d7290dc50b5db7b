"""Folders of codecs of speech tokens.

A folder as `save_networks` writes it has `config.json` with the settings, and folders `flow`,
`vocoder` and, if there is one, `tokenizer`. A published folder has `flow.pt` and `hift.pt`, and
`cosyvoice.yaml` or `cosyvoice2.yaml` with what their tensors do not tell. Either may have
`campplus.onnx` or `campplus.safetensors`, `speech_tokenizer_v2.onnx` or `_v1`, and `spk2info.pt`,
the vectors of stored speakers.
"""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sled.codec.files import CONFIG_FILE, unusable
from sled.codec.flow.base import SpeechFlow
from sled.codec.flow.files import load_flow, save_flow
from sled.codec.speaker.encoder import (
    PUBLISHED_FILE,
    NetworkSpeakerEncoder,
    SpeakerEncoder,
    load_speaker_encoder,
)
from sled.codec.speech_tokens.files import (
    PUBLISHED_FILES,
    load_speech_tokenizer,
    save_tokenizer,
)
from sled.codec.speech_tokens.tokenizer import NetworkTokenizer, SpeechTokenizer
from sled.codec.token_codec import PUBLISHED_FLOW, PUBLISHED_VOCODER, is_published_folder
from sled.codec.token_codec.settings import TokenCodecSettings
from sled.codec.vocoder.base import Vocoder
from sled.codec.vocoder.files import load_vocoder, save_vocoder
from sled.files.json_object import read_json_object

FLOW, VOCODER, TOKENIZER = "flow", "vocoder", "tokenizer"
SPEAKER_FILE, SPEAKERS_FILE = "campplus.safetensors", "speakers.safetensors"
PUBLISHED_SPEAKERS = "spk2info.pt"


@dataclass(frozen=True, eq=False)
class TokenNetworks:
    """What a codec of speech tokens consists of.

    Attributes:
        flow: Makes mel frames of tokens.
        vocoder: Makes sound of mel frames.
        settings: How both are used.
        tokenizer: Makes tokens of sound. None: the codec only decodes.
        speaker_encoder: Makes speaker vectors of recordings. None: there is none.
        speakers: Vectors [W] of stored speakers, by name.
    """

    flow: SpeechFlow
    vocoder: Vocoder
    settings: TokenCodecSettings = field(default_factory=TokenCodecSettings)
    tokenizer: SpeechTokenizer | None = None
    speaker_encoder: SpeakerEncoder | None = None
    speakers: dict[str, Tensor] = field(default_factory=dict)


def load_networks(name_or_path: str | Path) -> TokenNetworks:
    """Load the networks of a folder, on the CPU and in float32.

    Raises:
        ValueError: If a file is missing or cannot be read, or a part does not fit the others.
    """
    folder = Path(name_or_path).expanduser()
    published = is_published_folder(folder)
    tokenizer = _load_tokenizer(folder)
    try:
        rate = None if tokenizer is None else tokenizer.token_rate
        flow = load_flow(folder / (PUBLISHED_FLOW if published else FLOW), token_rate=rate)
        vocoder = load_vocoder(folder / (PUBLISHED_VOCODER if published else VOCODER))
        flat = read_json_object(folder / CONFIG_FILE) if not published else {}
        settings = TokenCodecSettings.from_dict(flat)
        speakers = _load_speakers(folder)
    except OSError as error:
        raise unusable(folder, f"it lacks a file ({error})") from error
    except (TypeError, ValueError) as error:
        raise unusable(folder, str(error)) from error
    return TokenNetworks(
        flow,
        vocoder,
        settings,
        tokenizer,
        _load_speaker_encoder(folder),
        speakers,
    )


def save_networks(networks: TokenNetworks, folder: Path) -> None:
    """Write a folder that `load_networks` reads.

    Raises:
        ValueError: If a part of it is an ONNX file, which has to be copied.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(networks.settings.to_dict(), indent=2, sort_keys=True) + "\n"
    (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
    save_flow(networks.flow, folder / FLOW)
    save_vocoder(networks.vocoder, folder / VOCODER)
    tokenizer, encoder = networks.tokenizer, networks.speaker_encoder
    if isinstance(tokenizer, NetworkTokenizer):
        save_tokenizer(tokenizer.network, folder / TOKENIZER)
    elif tokenizer is not None:
        raise ValueError(f"{folder}: copy the ONNX file of the speech tokenizer there")
    if isinstance(encoder, NetworkSpeakerEncoder):
        state = {name: one.contiguous() for name, one in encoder.network.state_dict().items()}
        save_file(state, folder / SPEAKER_FILE)
    elif encoder is not None:
        raise ValueError(f"{folder}: copy the ONNX file of the speaker encoder there")
    if networks.speakers:
        save_file(networks.speakers, folder / SPEAKERS_FILE)


def _load_tokenizer(folder: Path) -> SpeechTokenizer | None:
    if (folder / TOKENIZER).is_dir():
        return load_speech_tokenizer(folder / TOKENIZER)
    for name in PUBLISHED_FILES:
        if (folder / name).is_file():
            return load_speech_tokenizer(folder / name)
    return None


def _load_speaker_encoder(folder: Path) -> SpeakerEncoder | None:
    for name in (SPEAKER_FILE, PUBLISHED_FILE):
        if (folder / name).is_file():
            return load_speaker_encoder(folder / name)
    return None


def _load_speakers(folder: Path) -> dict[str, Tensor]:
    """The vectors of stored speakers; of a published file, the `embedding` of each."""
    if (folder / SPEAKERS_FILE).is_file():
        return load_file(folder / SPEAKERS_FILE)
    path = folder / PUBLISHED_SPEAKERS
    if not path.is_file():
        return {}
    try:
        stored: dict[str, dict[str, Any]] = torch.load(path, weights_only=True)
        return {
            name: one["embedding" if "embedding" in one else "llm_embedding"].float().flatten()
            for name, one in stored.items()
        }
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} holds no speaker vectors ({reason}): copy it again") from error
