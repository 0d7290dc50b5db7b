"""Statistics of speech lengths in a training corpus. They limit how long a model may speak."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from lhotse.cut import Cut
from lhotse.utils import compute_num_samples

from sled.codec import Codec
from sled.data.cache.clips import cut_waveform
from sled.data.cache.codes import cut_codes, has_codes
from sled.files.speech_level import SpeechLevel, measure_speech
from sled.text.tokenizer import TextTokenizer

# Share of recordings ignored at either end, because their transcripts may be wrong.
_OUTLIERS = 0.005
# Cuts per batch in which cuts are joined to samples.
_BATCH_CUTS = 16


@dataclass(frozen=True)
class FramesPerToken:
    """Frames of speech per text token, where `<s>` and `</s>` count as tokens.

    Counting these two makes short and long texts more alike: speech, too, has a fixed amount of
    silence around it.

    Attributes:
        low: 0.5 % of the recordings have fewer.
        median: Half of the recordings have more.
        high: 0.5 % of the recordings have more.
        num_cuts: Recordings measured.
    """

    low: float
    median: float
    high: float
    num_cuts: int


# A corpus has few words if they are no more than these, and each of them is in many texts.
MAX_KNOWN_WORDS, TEXTS_PER_WORD = 100, 20
_MARKS = "\"'.,;:!?()-"


def measure_frames_per_token(
    cuts: Iterable[Cut], tokenizer: TextTokenizer, codec: Codec, max_cuts: int = 10_000
) -> FramesPerToken:
    """Measure frames per token in a corpus. No audio is read, because cuts store their duration.

    Args:
        cuts: The corpus; cuts without text are skipped.
        tokenizer: Tokenizer of the model.
        codec: Gives the sample rate and the frame rate.
        max_cuts: Measure only this many cuts from the start; a corpus may be endless.

    Raises:
        ValueError: If no cut has a text.
    """
    ratios = []
    for cut in islice(cuts, max_cuts):
        if not cut.supervisions or not (cut.supervisions[0].text or "").strip():
            continue
        num_samples = compute_num_samples(cut.duration, codec.sample_rate)
        num_tokens = len(tokenizer.encode(cut.supervisions[0].text))
        ratios.append(codec.num_frames(num_samples) / num_tokens)
    if not ratios:
        raise ValueError("no cut has a text: transcribe the corpus")
    low, median, high = np.quantile(ratios, [_OUTLIERS, 0.5, 1 - _OUTLIERS]).tolist()
    return FramesPerToken(low, median, high, len(ratios))


def measure_trained_frames(
    cuts: Iterable[Cut],
    group: Callable[[Sequence[Cut]], Sequence[Sequence[Cut]]],
    codec: Codec,
    max_cuts: int = 10_000,
) -> int:
    """Number of frames that 99.5 % of the training samples do not exceed.

    Args:
        cuts: The training cuts in corpus order. Joining them in this order is much faster than
            making batches of similar length, and gives samples of about the same lengths.
        group: Divides the cuts of a batch into samples, see `SpeechDataset.group`.
        codec: Gives the sample rate and the frame rate.
        max_cuts: Measure only this many cuts from the start.

    Raises:
        ValueError: If there is no cut.
    """
    first = islice(cuts, max_cuts)
    batches = iter(lambda: list(islice(first, _BATCH_CUTS)), [])
    seconds = [sum(cut.duration for cut in one) for batch in batches for one in group(batch)]
    if not seconds:
        raise ValueError("the corpus is empty: prepare it again")
    num_samples = compute_num_samples(np.quantile(seconds, 1 - _OUTLIERS), codec.sample_rate)
    return codec.num_frames(num_samples)


@torch.no_grad()
def measure_speech_level(
    cuts: Iterable[Cut], codec: Codec, max_cuts: int = 50
) -> SpeechLevel | None:
    """The level of the speech in a corpus, and the silence around it: medians of its recordings.

    Args:
        cuts: The corpus, with recordings or with codes of `codec.stored`.
        codec: Decodes the codes.
        max_cuts: Measure only this many cuts from the start.

    Returns:
        The medians; None if all recordings are silent.
    """
    levels = []
    for cut in islice(cuts, max_cuts):
        if has_codes(cut):
            units = codec.stored.codes_to_units(cut_codes(cut).to(codec.device))
            waveform = codec.stored.decode(units[None])[0].cpu()
        else:
            waveform = cut_waveform(cut, codec.sample_rate)
        if (level := measure_speech(waveform.numpy(), codec.sample_rate)) is not None:
            levels.append((level.level_db, level.lead_s, level.tail_s))
    return SpeechLevel(*np.median(levels, axis=0).tolist()) if levels else None


def measure_known_words(
    cuts: Iterable[Cut], tokenizer: TextTokenizer, max_cuts: int = 10_000
) -> tuple[str, ...] | None:
    """The words of the texts of a corpus, if they are so few that it cannot teach others.

    Args:
        cuts: The corpus; cuts without text are skipped.
        tokenizer: Normalises the texts.
        max_cuts: Read only this many cuts from the start.

    Returns:
        The words in alphabetical order; None for a corpus of more than `MAX_KNOWN_WORDS`, or of so
        few texts that other words may only be missing by chance.
    """
    words: set[str] = set()
    count = 0
    for cut in islice(cuts, max_cuts):
        text = cut.supervisions[0].text if cut.supervisions else None
        words.update(word.strip(_MARKS) for word in tokenizer.normalize(text or "").split())
        count += 1
        if len(words) > MAX_KNOWN_WORDS:
            return None
    words.discard("")
    return tuple(sorted(words)) if words and count >= TEXTS_PER_WORD * len(words) else None
