"""Folders of codecs of speech tokens.

A folder as `save_networks` writes it has `config.json` with the settings, and folders `flow`,
`vocoder` and, if there is one, `tokenizer`. A published folder has `flow.pt` and `hift.pt`, and
`cosyvoice.yaml` or `cosyvoice2.yaml` with what their tensors do not tell. Either may have
`campplus.onnx` or `campplus.safetensors`, `speech_tokenizer_v2.onnx` or `_v1`, and `spk2info.pt`,
the vectors of stored speakers, and of some also a recording for the flow.
"""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sled.codec.files import CONFIG_FILE, unusable
from sled.codec.flow.base import FlowPrompt, SpeechFlow
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
PROMPTS_FILE = "speaker_prompts.safetensors"
PUBLISHED_SPEAKERS = "spk2info.pt"
# Of an entry there, what the flow continues, and the words that the model reads with the tokens.
PUBLISHED_TOKENS, PUBLISHED_MEL = "flow_prompt_speech_token", "prompt_speech_feat"
PUBLISHED_TEXT = "prompt_text"

logger = logging.getLogger(__name__)


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
        prompts: Recordings of some of these speakers that the flow continues, each one of a batch.
        texts: The words of some of these recordings, as ids [N] of the model's text tokens.
    """

    flow: SpeechFlow
    vocoder: Vocoder
    settings: TokenCodecSettings = field(default_factory=TokenCodecSettings)
    tokenizer: SpeechTokenizer | None = None
    speaker_encoder: SpeakerEncoder | None = None
    speakers: dict[str, Tensor] = field(default_factory=dict)
    prompts: dict[str, FlowPrompt] = field(default_factory=dict)
    texts: dict[str, Tensor] = field(default_factory=dict)


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
        speakers, prompts, texts = _load_speakers(folder)
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
        prompts,
        texts,
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
    if networks.prompts:
        parts = {
            f"{kind}.{name}": one.contiguous()
            for name, prompt in networks.prompts.items()
            for kind, one in (("tokens", prompt.tokens), ("mel", prompt.mel))
        }
        parts |= {f"text.{name}": one.contiguous() for name, one in networks.texts.items()}
        save_file(parts, folder / PROMPTS_FILE)


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


def _load_speakers(
    folder: Path,
) -> tuple[dict[str, Tensor], dict[str, FlowPrompt], dict[str, Tensor]]:
    """The vectors of stored speakers, the recordings of those that have one, and their words."""
    path = folder / PUBLISHED_SPEAKERS
    if (folder / SPEAKERS_FILE).is_file():
        return load_file(folder / SPEAKERS_FILE), *_load_prompts(folder / PROMPTS_FILE)
    if not path.is_file():
        return {}, {}, {}
    try:
        stored: dict[str, dict[str, Any]] = torch.load(path, "cpu", weights_only=True)
        speakers = {name: _published_vector(one) for name, one in stored.items()}
        recorded = {
            name: one
            for name, one in stored.items()
            if one.keys() >= {PUBLISHED_TOKENS, PUBLISHED_MEL}
        }
        prompts = {
            name: FlowPrompt(
                one[PUBLISHED_TOKENS].long().reshape(1, -1), one[PUBLISHED_MEL].float().mT
            )
            for name, one in recorded.items()
        }
        texts = {
            name: one[PUBLISHED_TEXT].long().flatten()
            for name, one in recorded.items()
            if PUBLISHED_TEXT in one
        }
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} holds no speaker vectors ({reason}): copy it again") from error
    return speakers, prompts, texts


def _published_vector(entry: Mapping[str, Any]) -> Tensor:
    """The vector [W] of an entry: one of a speaker, or one with all that a recording gives."""
    names = ("embedding", "flow_embedding", "llm_embedding")
    name = next((one for one in names if one in entry), names[0])
    vector: Tensor = entry[name].float().flatten()
    return vector


def _load_prompts(path: Path) -> tuple[dict[str, FlowPrompt], dict[str, Tensor]]:
    if not path.is_file():
        return {}, {}
    parts = load_file(path)
    kinds = dict[str, dict[str, Tensor]](tokens={}, mel={}, text={})
    for key, one in parts.items():
        kind, _, name = key.partition(".")
        kinds[kind][name] = one
    prompts = {name: FlowPrompt(one, kinds["mel"][name]) for name, one in kinds["tokens"].items()}
    return prompts, kinds["text"]
