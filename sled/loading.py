"""What speaking needs, from a checkpoint folder or the hub: a model, its tokenizer, its codec."""

from __future__ import annotations

from pathlib import Path

import torch

from sled.bundled import bundled_model
from sled.codec import Codec, load_codec
from sled.fast import PRECISIONS, choose_precision, loading_dtype, make_fast
from sled.files.checkpoint import missing_files
from sled.model.huggingface import SpeechLlamaConfig
from sled.model.interface import FrameModel
from sled.model.lm import SpeechLlamaForCausalLM
from sled.text.tokenizer import TextTokenizer

DEFAULT_CODEC = "facebook/encodec_24khz"


def load_parts(
    name_or_path: str | Path | None,
    codec: str | Path | None,
    device: str,
    dtype: str,
    threads: int | None,
) -> tuple[FrameModel, TextTokenizer, Codec]:
    """Load the parts of a voice; arguments and errors are those of `TTS.from_pretrained`."""
    if dtype not in ("auto", *PRECISIONS):
        raise ValueError(f"dtype={dtype!r}: choose one of auto, {', '.join(PRECISIONS)}")
    if (voice := bundled_model(name_or_path)) is not None:
        name_or_path = voice.folder
    assert name_or_path is not None
    _check_checkpoint(name_or_path)
    if codec is None:
        beside = [Path(name_or_path) / "codec", Path(name_or_path).parent / "codec"]
        codec = next((path for path in beside if path.is_dir()), DEFAULT_CODEC)
    try:
        if dtype == "auto":
            config = SpeechLlamaConfig.from_pretrained(str(name_or_path))
            dtype = choose_precision(config, torch.device(device))
        model = SpeechLlamaForCausalLM.from_pretrained(name_or_path, dtype=loading_dtype(dtype))
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"no checkpoint at {str(name_or_path)!r}: {reason}") from error
    tokenizer = TextTokenizer.from_pretrained(
        name_or_path, model.config.architecture.text_normalization
    )
    fast = make_fast(model.to(device).eval(), dtype, threads)
    return fast, tokenizer, load_codec(codec, device=device)


def _check_checkpoint(name_or_path: str | Path) -> None:
    """Refuse what looks like a path but holds no checkpoint, before a hub is asked for it."""
    path = Path(name_or_path)
    if path.is_dir():
        if missing := missing_files(path):
            raise ValueError(
                f"{path} is no checkpoint: it lacks {' and '.join(missing)}; "
                "name the folder that training saved"
            )
    elif path.exists() or path.is_absolute() or str(name_or_path).startswith((".", "~")):
        raise ValueError(f"no checkpoint folder at {path}: check the path")
