"""Exports a checkpoint for use: in half precision, with only the files that speaking needs."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from sled.codec import CodecParts
from sled.decoding import DecodingOptions
from sled.fast import DTYPES
from sled.files.checkpoint import CONFIG_FILE, INDEX_FILE, WEIGHTS_FILE
from sled.files.json_object import read_json_object
from sled.files.recorded_voices import VOICES_FOLDER
from sled.model.huggingface import SpeechLlamaForCausalLM
from sled.model.tokens.files import MODELS
from sled.text.tokenizer import TextTokenizer
from sled.training.checkpoints.saving import publish_model


def export(
    model: str | Path,
    destination: Path,
    codec: str | Path | None = None,
    dtype: str = "float16",
    max_shard_size: str = "50GB",
    temperature: float | None = None,
    cfg: float | None = None,
    draws: int | None = None,
) -> None:
    """Write a checkpoint with its weights in the given type, its voices, and a codec.

    The folder gets its files when all of them are written.

    Args:
        model: Checkpoint folder or hub name, with its tokenizer.
        destination: Folder to write.
        codec: Codec folder to include. None: no codec.
        dtype: Type of the stored weights. A codec is always loaded in float32.
        max_shard_size: Largest file of the model's weights, such as "15MB". A larger model is
            stored in several files.
        temperature: Default temperature of the model. None: unchanged.
        cfg: Default guidance scale of the model. None: unchanged.
        draws: Default number of draws per frame. None: unchanged.

    Raises:
        ValueError: If model or codec cannot be read, a weight or a default is out of range, or the
            shard size is invalid.
    """
    config_file = Path(model) / CONFIG_FILE
    if config_file.is_file() and (kind := read_json_object(config_file).get("kind")) in MODELS:
        raise ValueError(f"{model} is a {kind}, of which `sled export` writes nothing: copy it")
    loaded = SpeechLlamaForCausalLM.from_pretrained(model, dtype=torch.float32)
    _check_range(loaded, dtype)
    if temperature is not None:
        DecodingOptions(temperature=temperature)  # checks the value
        loaded.config.speaking.temperature = temperature
    if cfg is not None:
        DecodingOptions(cfg=cfg)
        loaded.config.speaking.cfg = cfg
    if draws is not None:
        DecodingOptions(draws=draws)
        loaded.config.speaking.draws = draws
    loaded.to(dtype=DTYPES[dtype])
    tokenizer = TextTokenizer.from_pretrained(model)
    parts = None if codec is None else CodecParts.load(codec)
    # A codec of speech tokens is several networks in precisions of their own: it is copied.
    if parts is not None and isinstance(parts.model, torch.nn.Module):
        _check_range(parts.model, dtype)
        torch.nn.Module.to(parts.model, DTYPES[dtype])

    destination.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=destination, prefix=".export-") as name:
        staged = Path(name)
        loaded.save_pretrained(staged, max_shard_size=max_shard_size)
        tokenizer.save_pretrained(staged)
        if parts is not None:
            parts.save(staged / "codec")
        if (Path(model) / VOICES_FOLDER).is_dir():
            shutil.copytree(Path(model) / VOICES_FOLDER, staged / VOICES_FOLDER)
        for file in (WEIGHTS_FILE, INDEX_FILE):  # of an earlier export
            (destination / file).unlink(missing_ok=True)
        publish_model(staged, destination)


def _check_range(model: torch.nn.Module, dtype: str) -> None:
    largest = torch.finfo(DTYPES[dtype]).max
    for name, tensor in model.state_dict().items():
        if not tensor.isfinite().all() or tensor.abs().max() > largest:
            raise ValueError(f"{name} is out of range of {dtype}: choose bfloat16 or float32")
