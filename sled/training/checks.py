"""Whether the parts of a run fit each other, before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

from lhotse import CutSet
from lhotse.cut import Cut

from sled.codec import Codec
from sled.data.alignment.spoken_times import word_ends
from sled.data.dataset import open_corpus
from sled.text.tokenizer import TextTokenizer
from sled.training.arguments import DataArguments


def check_lengths(data: DataArguments, open_epoch: Callable[[int], CutSet]) -> None:
    """Raise ValueError if all cuts are longer than `--max_duration_s`."""
    if data.max_duration_s is None or next(iter(open_epoch(0)), None) is not None:
        return
    cuts = open_corpus(list(map(Path, data.train_manifest)), max_samples=data.max_train_samples)
    shortest = min((cut.duration for cut in islice(cuts, 1000)), default=0.0)
    raise ValueError(
        f"--max_duration_s {data.max_duration_s:g} leaves no cut to train on: they last "
        f"{shortest:.3g} s and more"
    )


def check_token_channel(codec: Codec, tokenizer: TextTokenizer) -> None:
    """Raise ValueError if the token channel was made for another tokenizer."""
    channel = codec.token_channel
    if channel is not None and channel.vocab_size != tokenizer.vocab_size:
        raise ValueError(
            f"the codec has a channel for {channel.vocab_size} tokens, the tokenizer has "
            f"{tokenizer.vocab_size}: use the tokenizer of the checkpoint (leave --tokenizer out)"
        )


def check_alignment(manifests: Sequence[str], cuts: Iterable[Cut]) -> None:
    """Raise ValueError if none of the first thousand cuts has times of words."""
    if not any(map(word_ends, islice(cuts, 1000))):
        raise ValueError(
            f"the cuts of {' and '.join(manifests)} have no times of words, which "
            "--alignment_weight and a codec's token channel need: prepare them with sled align "
            "before their codes are cached"
        )


def check_speaker(name: str, cuts: Iterable[Cut]) -> None:
    """Raise ValueError if none of the first thousand cuts is of this speaker."""
    speakers = {cut.supervisions[0].speaker for cut in islice(cuts, 1000) if cut.supervisions}
    if name not in speakers:
        found = " ".join(sorted(map(str, speakers))[:20])
        raise ValueError(f"--main_speaker {name}: the training corpus has {found}")


def check_layer(layer: int | None, num_layers: int) -> None:
    """Raise ValueError if there is no such layer."""
    if layer is not None and not 0 <= layer < num_layers:
        raise ValueError(f"--alignment_layer {layer}: give one from 0 to {num_layers - 1}")
