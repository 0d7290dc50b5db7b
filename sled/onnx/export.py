"""Writes the chain of a model as a folder of ONNX graphs, for `sled.onnx.tts`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from math import isinf
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from sled.codec import Codec
from sled.decoding import DecodingOptions
from sled.decoding.options import OFFLINE_STOP_THRESHOLD, STREAM_STOP_THRESHOLD
from sled.loading import check_parts
from sled.model.order import Order
from sled.onnx.codec_graphs import export_codec
from sled.onnx.folder import ARRAYS_FILE, FORMAT, SETTINGS_FILE, TOKENIZER, Drawing, ModelSettings
from sled.onnx.model_graphs import Model, export_model
from sled.streaming.loudness import output_gain_db
from sled.streaming.segment_budget import SegmentBudget
from sled.streaming.voice_file import VoiceFile
from sled.text.tokenizer import TextTokenizer


def export_chain(
    model: Model,
    tokenizer: TextTokenizer,
    codec: Codec,
    folder: Path,
    options: DecodingOptions | None = None,
    voices: Mapping[str, VoiceFile] | None = None,
) -> None:
    """Write all that `sled.onnx.tts.OnnxTTS` needs.

    Args:
        model: In evaluation mode, in float32 on the CPU.
        tokenizer: Its tokenizer.
        codec: Its codec, on the CPU.
        folder: The folder. The file with the settings comes last.
        options: How to draw. None: as the model recommends.
        voices: Voices by name, beside those that the codec has stored.

    Raises:
        ValueError: If the parts do not fit, there are no graphs of one, or `onnx` is not installed.
    """
    check_parts(model.config, tokenizer, codec)
    (folder / SETTINGS_FILE).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    options = options or DecodingOptions.of_model(model.config)
    export_model(model, folder)
    codec_settings, arrays = export_codec(codec, folder)
    tokenizer.save_pretrained(folder / TOKENIZER)
    if (channel := codec.token_channel) is not None:
        arrays |= {"channel.tokens": channel.tokens, "channel.phases": channel.phases}
    known = dict[str, Any]()
    for name, file in (voices or {}).items():
        known[name] = {"text": file.text, "tokens": file.tokens}
        arrays |= {f"voice.{name}.{kind}": one for kind, one in file.conditions.items()}
        if file.text or len(file.units):  # with an instruction there is only a text
            arrays[f"voice.{name}.units"] = file.units
    for name in codec_settings.pop("speakers", []):
        known.setdefault(name, {"text": "", "tokens": None})
    arrays |= _prefix(model)
    save_file({name: one.contiguous() for name, one in arrays.items()}, folder / ARRAYS_FILE)
    budget = SegmentBudget(model.config, options, model.layout)
    settings = {
        "format": FORMAT,
        "model": asdict(model_settings(model, options)),
        "codec": codec_settings,
        "segments": asdict(budget.segment_limits()),
        "past_frames": None if isinf(budget.past_frames) else budget.past_frames,
        "known_words": model.config.speaking.known_words,
        "gain_db": output_gain_db(model.config.speaking),
        "voices": known,
    }
    text = json.dumps(settings, indent=2) + "\n"
    (folder / SETTINGS_FILE).write_text(text, encoding="utf-8")


@torch.no_grad()
def _prefix(model: Model) -> dict[str, Tensor]:
    """What sequences without a speaker begin with; nothing for models that need one."""
    try:
        return {"prefix": model.embed_conditions({})}
    except ValueError:
        return {}


def model_settings(model: Model, options: DecodingOptions) -> ModelSettings:
    """What decoding has to know of a model."""
    architecture, speaking = model.config.architecture, model.config.speaking
    drawing = Drawing(
        cfg=options.cfg,
        temperature=options.temperature,
        draws=options.draws,
        sampling=options.sampling,
        stop_thresholds=(OFFLINE_STOP_THRESHOLD, STREAM_STOP_THRESHOLD),
        frames_per_token=speaking.frames_per_token,
        length_tolerance=options.length_tolerance,
    )
    order, streaming = (
        Order(one.text_chunk, one.speech_chunk) for one in (model.layout, model.streaming_layout)
    )
    return ModelSettings(
        layers=architecture.num_hidden_layers,
        cache_shape=(architecture.num_key_value_heads, architecture.head_dim),
        input_width=architecture.hidden_size,
        positions=architecture.max_position_embeddings,
        bos_id=architecture.bos_token_id,
        eos_id=architecture.eos_token_id,
        text_end_id=model.config.text_end_id,
        normalization=architecture.text_normalization,
        order=order,
        streaming_order=streaming,
        ids=model.ids,
        noise_width=model.noise_width,
        drawing=drawing,
    )
