"""The checkpoint, tokenizer and codec of a run: those that flags name, or those that fit.

A codec's transforms are a choice of the run. The codec with the transforms of the run is saved in
the folder `codec` of its output, where speaking finds it.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from lhotse.cut import Cut

from sled.bundled import bundled_model
from sled.codec import CodecParts, TokenChannel
from sled.data.alignment.spoken_times import word_ends
from sled.data.cache.codes import check_codec
from sled.data.cache.shards import read_record
from sled.data.dataset import open_corpus
from sled.files.checkpoint import checkpoint_folder
from sled.loading import DEFAULT_CODEC
from sled.text.tokenizer import TextTokenizer
from sled.training.arguments import DataArguments
from sled.training.codec.fit import fit_parts, parse_transforms

logger = logging.getLogger(__name__)

CODEC_FOLDER = "codec"
_RECORD = "fitted_to.json"
_NO_TRANSFORMS = "none"
# Cuts that are searched for times of words.
_SEARCHED = 1000


def start_folder(finetune_path: str | None) -> Path | None:
    """The folder of the checkpoint that training starts from; None for a new model.

    Raises:
        ValueError: If it is not there, or incomplete.
    """
    if finetune_path is None:
        return None
    bundled = bundled_model(finetune_path)
    folder = Path(finetune_path) if bundled is None else bundled.folder
    if folder.suffix == ".safetensors":
        if not folder.is_file():
            raise ValueError(f"no checkpoint at {folder}: train it first, or check --finetune_path")
        folder = folder.parent
    elif not folder.is_dir():
        folder = checkpoint_folder(finetune_path)  # of the hub, or refused
    return folder


def load_tokenizer(
    data: DataArguments, start: Path | None, normalization: str | None = None
) -> TextTokenizer:
    """Load the tokenizer that `--tokenizer` names, or that of the checkpoint to start from.

    Raises:
        ValueError: If there is none.
    """
    name = data.tokenizer or start
    if not name:
        raise ValueError(
            "--tokenizer is missing: name its folder (sled tokenizer makes one), or a model to use "
            "the one it has"
        )
    return TextTokenizer.from_pretrained(name, normalization)


def codec_name(data: DataArguments, start: Path | None) -> str:
    """The codec that `--codec` names, else that of the checkpoint, else that of the codes.

    Raises:
        ValueError: If the codes were made with a codec that is not there any more.
    """
    if data.codec is not None:
        return data.codec
    if start is not None:
        for folder in (start / CODEC_FOLDER, start.parent / CODEC_FOLDER):
            if folder.is_dir():
                return str(folder)
    for folder in filter(Path.is_dir, map(Path, data.train_manifest)):
        name = read_record(folder).codec
        if name is None:
            continue
        if Path(name).is_absolute() and not Path(name).exists():
            raise ValueError(
                f"{folder} was made with the codec {name}, which is not there: name it with --codec"
            )
        return name
    return DEFAULT_CODEC


def has_times(data: DataArguments) -> bool:
    """Whether any of the first thousand training cuts has times of words."""
    cuts: Iterator[Cut] = iter(open_corpus(list(map(Path, data.train_manifest))))
    return any(map(word_ends, islice(cuts, _SEARCHED)))


@dataclass(frozen=True)
class RunCodec:
    """The codec of a run, which is written once all other parts of the run are known to fit.

    Attributes:
        parts: The codec with the transforms of the run.
        folder: Its folder in the output of the run.
        record: What the transforms were fitted to. None: nothing.
        is_saved: Whether it was read from the folder.
    """

    parts: CodecParts
    folder: Path
    record: dict[str, object] | None = None
    is_saved: bool = False

    def save(self) -> None:
        """Write the folder, which appears under its name when it is complete.

        Raises:
            OSError: If it cannot be written.
        """
        if self.is_saved:
            return
        partial = self.folder.with_name(f".partial.{self.folder.name}")
        shutil.rmtree(partial, ignore_errors=True)
        self.parts.save(partial)
        if self.record is not None:
            text = json.dumps(self.record, indent=2) + "\n"
            (partial / _RECORD).write_text(text, encoding="utf-8")
        shutil.rmtree(self.folder, ignore_errors=True)
        partial.rename(self.folder)


def load_run_codec(
    data: DataArguments, start: Path | None, tokenizer: TextTokenizer, output_dir: Path
) -> RunCodec:
    """Load the codec with the transforms of this run.

    Transforms that are fitted to the corpus are fitted once; a continued run reads them again.

    Args:
        data: Flags.
        start: The checkpoint to start from. None: a new model.
        tokenizer: For the token channel.
        output_dir: Folder of the run.

    Raises:
        ValueError: If there is no such codec, the codes were made with another one, or transforms
            cannot be fitted.
    """
    name = codec_name(data, start)
    parts = CodecParts.load(name)
    folders = [
        path for path in map(Path, data.train_manifest + data.eval_manifest) if path.is_dir()
    ]
    for folder in folders:
        check_codec(folder, parts.assemble())
    if data.transforms is not None:
        if start is not None:
            raise ValueError(
                f"--transforms {data.transforms}: a checkpoint keeps the transforms it was trained "
                "with, leave the flag out"
            )
        return _fitted(parts, data, tokenizer, output_dir / CODEC_FOLDER)
    if start is None:
        parts = _with_fitting_channel(parts, tokenizer, lambda: has_times(data))
    return RunCodec(parts, output_dir / CODEC_FOLDER)


def _with_fitting_channel(
    parts: CodecParts, tokenizer: TextTokenizer, has_times: Callable[[], bool]
) -> CodecParts:
    """The codec with a token channel for this tokenizer, if it has one and it can be filled."""
    if not parts.transforms or not isinstance(parts.transforms[-1], TokenChannel):
        return parts
    *others, channel = parts.transforms
    assert isinstance(channel, TokenChannel)
    if not has_times():
        logger.warning(
            "the cuts have no times of words: the codec's token channel, which helps small models, "
            "is left out (sled align finds the times)"
        )
        return replace(parts, transforms=tuple(others))
    if channel.vocab_size == tokenizer.vocab_size:
        return parts
    logger.info("the codec gets a token channel for %d tokens", tokenizer.vocab_size)
    return replace(parts, transforms=(*others, channel.for_tokens(tokenizer.vocab_size)))


def _fitted(
    parts: CodecParts, data: DataArguments, tokenizer: TextTokenizer, folder: Path
) -> RunCodec:
    """The codec with the transforms that `--transforms` lists, in the place of its own."""
    assert data.transforms is not None
    parts = replace(parts, transforms=())
    codes = [path for path in map(Path, data.train_manifest) if path.is_dir()]
    record = {
        "codec": parts.assemble().digest(),
        "transforms": data.transforms,
        "vocab_size": tokenizer.vocab_size,
        "codes": [read_record(path).manifest_digest for path in codes],
    }
    path = folder / _RECORD
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) == record:
        return RunCodec(CodecParts.load(folder), folder, record, is_saved=True)
    if data.transforms != _NO_TRANSFORMS:
        parts, notes = fit_parts(parts, parse_transforms(data.transforms), codes, tokenizer)
        logger.info("transforms of latents: %s", "; ".join(notes))
    return RunCodec(parts, folder, record)
