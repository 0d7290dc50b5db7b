"""Batches of mel spectrograms with the symbols of their texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from sled.codec.features import ANALYSIS_RATE, tokenizer_features
from sled.data.cache.clips import cut_waveform
from sled.data.dataset import open_corpus
from sled.data.sampling import SpeechBatches, TrainingBatches
from sled.data.tokens.spelling import BLANK, spell


@dataclass(frozen=True)
class Alphabet:
    """The symbols of a corpus.

    Attributes:
        symbols: The symbols, numbered from 1; 0 is the blank.
        text_normalization: How texts are normalised.
    """

    symbols: tuple[str, ...]
    text_normalization: str | None

    @classmethod
    def of(cls, cuts: CutSet, text_normalization: str | None) -> Alphabet:
        """Gather the symbols of a corpus.

        Raises:
            ValueError: If it has no text.
        """
        found = {symbol for cut in cuts for symbol in spell(_text(cut), text_normalization)}
        if not found - {" "}:
            raise ValueError("the training texts have no letters: give a corpus with transcripts")
        return cls(tuple(sorted(found)), text_normalization)

    @property
    def size(self) -> int:
        """Number of symbols with the blank."""
        return len(self.symbols) + 1

    def encode(self, text: str) -> list[int]:
        """Return the numbers of the symbols of a text; unknown ones are left out."""
        numbers = {symbol: number for number, symbol in enumerate(self.symbols, start=BLANK + 1)}
        spelled = spell(text, self.text_normalization)
        return [numbers[symbol] for symbol in spelled if symbol in numbers]


def _text(cut: Cut) -> str:
    return (cut.supervisions[0].text or "") if cut.supervisions else ""


@dataclass(frozen=True)
class Batch:
    """A batch.

    Attributes:
        mel: Mel spectrograms [B, M, F].
        num_frames: Frames of each [B].
        symbols: Symbols of each text, int64 [L].
    """

    mel: Tensor
    num_frames: Tensor
    symbols: list[Tensor]


class _Clips(Dataset[tuple[Tensor, Tensor]]):
    """Mel spectrogram [F, M] and symbols [L] of a cut.

    Args:
        alphabet: The symbols.
        n_mels: M.
        max_cached_hours: Hours of mel spectrograms that are kept in memory, 90 MB each.
    """

    def __init__(self, alphabet: Alphabet, n_mels: int, max_cached_hours: float = 0.0) -> None:
        self.alphabet, self.n_mels = alphabet, n_mels
        self._cache: dict[str, Tensor] = {}
        self._frames_left = round(360_000 * max_cached_hours)

    def __getitem__(self, cut: Cut) -> tuple[Tensor, Tensor]:
        symbols = torch.tensor(self.alphabet.encode(_text(cut)), dtype=torch.long)
        return self._mel(cut).float(), symbols

    def _mel(self, cut: Cut) -> Tensor:
        """Mel spectrogram in float16, cached or not, so that it is always the same."""
        if cut.id in self._cache:
            return self._cache[cut.id]
        mel = tokenizer_features(cut_waveform(cut, ANALYSIS_RATE), self.n_mels).T.half()
        if len(mel) <= self._frames_left:
            self._frames_left -= len(mel)
            self._cache[cut.id] = mel
        return mel


def collate(clips: Sequence[tuple[Tensor, Tensor]]) -> Batch:
    """Make a batch of clips."""
    mels = [mel for mel, _ in clips]
    return Batch(
        pad_sequence(mels, batch_first=True).transpose(1, 2),
        torch.tensor([len(mel) for mel in mels]),
        [symbols for _, symbols in clips],
    )


def open_clips(path: Path, max_duration_s: float, shuffle_seed: int | None = None) -> CutSet:
    """Open the cuts of a manifest that are short enough.

    Raises:
        ValueError: If it is missing or empty.
    """
    return open_corpus([path], max_duration_s=max_duration_s, shuffle_seed=shuffle_seed)


class TrainingClips:
    """An endless iteration over a corpus, which can start at any batch.

    Args:
        path: The manifest.
        alphabet: The symbols.
        n_mels: Mel bands.
        max_duration_s: Leave out longer clips.
        batch_duration_s: Seconds of a batch, with padding.
        num_workers: Processes that read audio. 0: this one.
        seed: Seed of the order.
        max_cached_hours: Hours of mel spectrograms that each of them keeps in memory.
    """

    def __init__(
        self,
        path: Path,
        alphabet: Alphabet,
        n_mels: int,
        *,
        max_duration_s: float,
        batch_duration_s: float,
        num_workers: int,
        seed: int,
        max_cached_hours: float = 0.0,
    ) -> None:
        speech = SpeechBatches(
            partial(_open_epoch, path, max_duration_s),
            max_duration_s=batch_duration_s,
            seed=seed,
        )
        self._order = TrainingBatches(speech)
        self._clips = _Clips(alphabet, n_mels, max_cached_hours)
        self._num_workers = num_workers

    def batches(self, start: int, epoch_lengths: Sequence[int]) -> Iterator[Batch]:
        """Yield the batches from number `start`, given the lengths of the epochs before."""
        self._order.start, self._order.epoch_lengths = start, list(epoch_lengths)
        yield from DataLoader(
            self._clips,
            batch_sampler=self._order,
            num_workers=self._num_workers,
            collate_fn=collate,
            prefetch_factor=4 if self._num_workers else None,
        )

    @property
    def epoch_lengths(self) -> list[int]:
        """Number of batches of each epoch that has been completed."""
        return self._order.epoch_lengths


def _open_epoch(path: Path, max_duration_s: float, epoch: int) -> CutSet:
    return open_clips(path, max_duration_s, shuffle_seed=epoch)


def evaluation_batches(
    cuts: CutSet, alphabet: Alphabet, n_mels: int, max_frames: int
) -> Iterator[Batch]:
    """Yield batches of a test set in its order, of so many frames with padding."""
    clips = _Clips(alphabet, n_mels)
    held: list[tuple[Tensor, Tensor]] = []
    longest = 0
    for cut in cuts:
        clip = clips[cut]
        longest = max(longest, len(clip[0]))
        if held and longest * (len(held) + 1) > max_frames:
            yield collate(held)
            held, longest = [], len(clip[0])
        held.append(clip)
    if held:
        yield collate(held)
