"""Load the parts that speaking needs: a model, its tokenizer and its codec."""

from __future__ import annotations

from pathlib import Path

import torch

from sled.bundled import BUNDLED_MODELS, bundled_model
from sled.codec import Codec, load_codec
from sled.codec.token_codec import is_published_folder
from sled.fast import PRECISIONS, choose_precision, loading_dtype, make_fast, use_kernels
from sled.fast.int4 import read_int4
from sled.files.checkpoint import checkpoint_folder
from sled.files.hub import download_folder, is_hub_name
from sled.files.suggest import did_you_mean
from sled.model.config import Config
from sled.model.device import check_device
from sled.model.heads import head_class
from sled.model.interface import FrameModel
from sled.model.lm import SpeechLM
from sled.model.registry import model_family
from sled.model.tokens.config import TokenConfig
from sled.model.tokens.files import added_tokens, is_published_lm, text_tokenizer_folder
from sled.model.tokens.lm import TokenLM
from sled.text.tokenizer import TextTokenizer

DEFAULT_CODEC = "facebook/encodec_24khz"


def load_parts(
    name_or_path: str | Path | None,
    codec: str | Path | None,
    device: str,
    dtype: str,
    threads: int | None,
) -> tuple[FrameModel, TextTokenizer, Codec]:
    """Load a model, its tokenizer and its codec.

    Args:
        name_or_path: Name of a bundled model (None: the default one), folder, or hub name.
        codec: Folder or hub name. None: the one in the checkpoint's folder or beside it, else the
            published one.
        device: Where to compute.
        dtype: Precision of the model, or "auto".
        threads: CPU threads of forms that have their own. None: as many as torch uses.

    Raises:
        ValueError: If a part is missing, cannot be read or is of an unknown kind.
    """
    check_device(device)
    if dtype not in ("auto", *PRECISIONS):
        raise ValueError(f"dtype={dtype!r}: choose one of auto, {', '.join(PRECISIONS)}")
    folder = model_folder(name_or_path)
    family = model_family(folder)
    config = family.load_config(folder)
    if dtype == "auto":
        of_latents = isinstance(config, Config) and config.architecture.head != "token"
        dtype = choose_precision(
            family.num_parameters(config), torch.device(device), config if of_latents else None
        )
    model = family.load_model(folder, loading_dtype(dtype)).to(device)
    tokenizer = load_tokenizer(folder, config)
    codec_of_model = _load_codec_of(folder, codec, device)
    use_kernels(codec_of_model)
    # Where the units do not tell which token they say, the attention does.
    show_attention = (
        codec_of_model.token_channel is None and config.speaking.alignment_layer is not None
    )
    int4 = read_int4(folder, model) if dtype == "int4" and isinstance(model, SpeechLM) else None
    fast = make_fast(model, dtype, threads, show_attention=show_attention, int4=int4)
    return fast, tokenizer, codec_of_model


def load_plain_parts(
    name_or_path: str | Path | None, codec: str | Path | None
) -> tuple[SpeechLM | TokenLM, TextTokenizer, Codec]:
    """Load a model as it is trained, in float32 on the CPU, with its tokenizer and its codec.

    Arguments and errors as of `load_parts`.
    """
    folder = model_folder(name_or_path)
    family = model_family(folder)
    model = family.load_model(folder, torch.float32).eval()
    tokenizer = load_tokenizer(folder, family.load_config(folder))
    return model, tokenizer, _load_codec_of(folder, codec, "cpu")


def _load_codec_of(folder: Path, codec: str | Path | None, device: str) -> Codec:
    """The codec of a model's folder, unless another one is named."""
    if codec is None:
        beside = [folder / "codec", folder.parent / "codec"]
        codec = next((path for path in beside if path.is_dir()), DEFAULT_CODEC)
        if is_published_folder(folder):  # which has flow and vocoder beside the language model
            codec = folder
    return load_codec(codec, device=device)


def load_tokenizer(folder: Path, config: Config) -> TextTokenizer:
    """Load the text tokenizer of a model.

    Args:
        folder: The folder of the model.
        config: Its configuration.

    Raises:
        ValueError: If it has none, or that cannot be read.
    """
    sizes = config.architecture
    return TextTokenizer.from_pretrained(
        text_tokenizer_folder(folder),
        sizes.text_normalization,
        sizes.bos_token_id,
        sizes.eos_token_id,
        added_tokens(config),
        config.text_end_id,
    )


def model_folder(name_or_path: str | Path | None) -> Path:
    """Return the folder of a model and its tokenizer, downloaded if necessary.

    Args:
        name_or_path: Name of a bundled model (None: the default one), folder, or hub name.

    Raises:
        ValueError: If there is no such model, or a file is missing.
    """
    if (bundled := bundled_model(name_or_path)) is not None:
        return bundled.folder
    assert name_or_path is not None
    name = str(name_or_path)
    if Path(name).name == name and not Path(name).exists():
        raise ValueError(
            f"no model or folder {name}{did_you_mean(name, BUNDLED_MODELS)}: bundled models are "
            f"{' and '.join(BUNDLED_MODELS)}, models on the hub are named OWNER/NAME"
        )
    if is_published_lm(Path(name_or_path)):
        return Path(name_or_path)
    folder = checkpoint_folder(name_or_path)
    if is_hub_name(name):  # into the same folder
        TextTokenizer.from_pretrained(name)
        for inner in ("codec", "voices"):
            download_folder(name, inner)
    return folder


def read_config(name_or_path: str | Path | None) -> Config:
    """Read the configuration of a model, without its weights; arguments as `model_folder`.

    Raises:
        ValueError: If there is no such model, or it is of an unknown kind.
    """
    folder = model_folder(name_or_path)
    return model_family(folder).load_config(folder)


def _check_ids(config: Config, codec: Codec) -> None:
    """Make sure that no id is drawn that a codec does not have."""
    speech, known = config.architecture.vae_embed_dim, codec.codebook_size
    if isinstance(config, TokenConfig) and config.has_spare_ids:
        config.known_ids = known if known < speech else None
    elif known < speech:
        raise ValueError(
            f"the codec has {known} ids, the model {speech}: use the codec the model was trained "
            "with"
        )


def check_parts(config: Config, tokenizer: TextTokenizer, codec: Codec) -> None:
    """Make sure that a model was made for a tokenizer and a codec.

    Ids of speech that a model has to spare, and the codec does not have, are excluded from drawing.

    Raises:
        ValueError: If it was not.
    """
    architecture = config.architecture
    shape, rate = head_class(architecture).unit_shape_of(architecture), architecture.frame_rate
    if (codec.unit_shape, codec.frame_rate) != (shape, rate):
        raise ValueError(
            f"the codec has units of shape {list(codec.unit_shape)} at {codec.frame_rate:g} a "
            f"second, the model units of shape {list(shape)} at {rate:g}: "
            "use the codec the model was trained with"
        )
    if codec.unit_dtype == torch.long:
        _check_ids(config, codec)
    if tokenizer.vocab_size > architecture.vocab_size:
        raise ValueError(
            f"the tokenizer has {tokenizer.vocab_size} tokens, the model "
            f"{architecture.vocab_size}: use the tokenizer the model was trained with"
        )
    ends = (architecture.bos_token_id, config.text_end_id)
    if (tokenizer.bos_id, tokenizer.text_end_id) != ends:
        raise ValueError(
            f"the tokenizer marks the ends of texts with {tokenizer.bos_id} and "
            f"{tokenizer.text_end_id}, the model was made for {ends[0]} and {ends[1]}: load the "
            "tokenizer with bos_id, eos_id and text_end_id of the model"
        )
    if tokenizer.normalization != architecture.text_normalization:
        raise ValueError(
            f"the tokenizer normalises texts by {tokenizer.normalization!r}, the model's texts "
            f"were by {architecture.text_normalization!r}: load the tokenizer with that one"
        )
