"""Rows of a corpus that were checked, and how long they will be as features.

All decisions of the pipeline, which rows make which batch, need only lengths. They are told by the
headers of audio files, so a batch that another process makes costs no decoding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from pathlib import Path
from random import Random

import numpy as np

from sled.data.tokens.header import check_rate, read_header
from sled.data.tokens.options import PipelineOptions
from sled.data.tokens.parquet import TOKEN_COLUMNS, VECTOR_COLUMNS, TokenRow, read_rows

# Tokens more or fewer than the duration tells, and the same as a share.
_TOKENS_OFF, _SHARE_OFF = 2, 0.1

Tokenize = Callable[[str], Sequence[int]]


@dataclass(eq=False)
class Sample:
    """A row, and its lengths as features.

    Attributes:
        row: The row; without its audio if that is not decoded.
        sample_rate: Rate of its audio, in Hz.
        text: Text tokens.
        instruct: Tokens of the instruction. None: it has none.
        num_samples: Samples of the waveform, resampled, truncated and padded.
        start: First sample of a truncated waveform, after resampling.
        num_frames: Mel frames.
        num_tokens: Speech tokens that are used.
    """

    row: TokenRow
    sample_rate: int
    text: list[int]
    instruct: list[int] | None
    num_samples: int
    start: int
    num_frames: int
    num_tokens: int


@dataclass
class Tally:
    """What was left out of an epoch.

    Attributes:
        rows: Rows that were read; a file that cannot be read counts as one.
        filtered: Rows outside the limits, by the limit.
        bad: Why rows and files cannot be used, by their name.
    """

    rows: int = 0
    filtered: Counter[str] = field(default_factory=Counter)
    bad: dict[str, str] = field(default_factory=dict)

    def describe(self) -> str:
        """Tell in words what was left out, and its share of the rows. "": nothing was."""
        parts = [self._count(number, limit) for limit, number in self.filtered.most_common()]
        for name, reason in list(self.bad.items())[:1]:
            what = "bad rows or files, the first is"
            parts.append(f"{self._count(len(self.bad), what)} {name}: {reason}")
        return "; ".join(parts)

    def _count(self, number: int, what: str) -> str:
        return (
            f"{number} {what}" if not self.rows else f"{number} ({number / self.rows:.1%}) {what}"
        )


class SampleMaker:
    """Checks rows and makes samples of them.

    Args:
        tokenize: Maps a text to its tokens.
        options: The options.
        random: Draws the parts of truncated recordings.
    """

    def __init__(self, tokenize: Tokenize, options: PipelineOptions, random: Random) -> None:
        self.tally = Tally()
        self._tokenize, self._options, self._random = tokenize, options, random
        self._width = options.embedding_size

    def read(self, files: Sequence[Path]) -> Iterator[Sample]:
        """Yield the samples of Parquet files.

        Raises:
            ValueError: If a file or a row is bad, and bad ones are to stop the run.
        """
        for path in files:
            try:
                for row in read_rows(path, partial(self._note_malformed, path)):
                    if sample := self._make(row, path):
                        yield sample
            except _StopError:
                raise
            except ValueError as error:
                self.tally.rows += 1
                self._note(str(path), str(error), str(error))

    def _make(self, row: TokenRow, path: Path) -> Sample | None:
        self.tally.rows += 1
        try:
            sample = self._measure(row)
        except ValueError as error:
            message = f"{row.utt}: {error} (in {path}): repair the corpus"
            self._note(row.utt, f"{error} (in {path})", message)
            return None
        limit = self._limit(sample)
        if limit is not None:
            self.tally.filtered[limit] += 1
            return None
        return self._fit(sample)

    def _note_malformed(self, path: Path, name: str, reason: str) -> None:
        self.tally.rows += 1
        self._note(f"{path}, {name}", reason, f"{path}: {reason}: repair the corpus")

    def _note(self, name: str, reason: str, message: str) -> None:
        if self._options.on_bad == "stop":
            raise _StopError(f"{message}, or leave what is bad out with --on_bad skip")
        self.tally.bad[name] = reason

    def _measure(self, row: TokenRow) -> Sample:
        """Make a sample with the length of its recording.

        Raises:
            ValueError: If the row is bad.
        """
        sample_rate, num_samples = _read_header(row)
        self._check_tokens(row, num_samples / sample_rate)
        self._check_vectors(row)
        tokens, text = row.speech_token, list(self._tokenize(row.text))
        if row.spoken_token is not None and row.spoken_token.max(initial=-1) > len(text):
            raise ValueError(
                f"its spoken_token are of a text of {row.spoken_token.max()} tokens, the text has "
                f"{len(text)}: run sled cache spoken with the tokenizer of the model"
            )
        if not self._options.with_audio:  # samples wait in buffers, and audio is large
            row = replace(row, audio=b"")
        return Sample(
            row=row,
            sample_rate=sample_rate,
            text=text,
            instruct=None if row.instruct is None else list(self._tokenize(row.instruct)),
            num_samples=num_samples,
            start=0,
            num_frames=0,
            num_tokens=0 if tokens is None else len(tokens),
        )

    def _check_tokens(self, row: TokenRow, seconds: float) -> None:
        size, rate = self._options.speech_token_size, self._options.token_rate
        for name in TOKEN_COLUMNS:
            tokens = getattr(row, name)
            if tokens is None:
                continue
            if not len(tokens):
                raise ValueError(f"its {name} is empty")
            if size is not None and not 0 <= tokens.min() <= tokens.max() < size:
                raise ValueError(
                    f"its {name} has ids from {tokens.min()} to {tokens.max()}, not within 0 and "
                    f"{size - 1}"
                )
        if rate is not None and row.speech_token is not None:
            expected = seconds * rate
            if abs(len(row.speech_token) - expected) > _TOKENS_OFF + _SHARE_OFF * expected:
                raise ValueError(
                    f"it has {len(row.speech_token)} speech tokens in {seconds:.2f} s, where "
                    f"{expected:.0f} are expected"
                )
        if row.spoken_token is not None and row.speech_token is not None:
            counts = len(row.spoken_token), len(row.speech_token)
            if counts[0] != counts[1]:
                raise ValueError(
                    f"it has {counts[0]} spoken_token for {counts[1]} speech tokens: run "
                    "sled cache spoken again"
                )

    def _check_vectors(self, row: TokenRow) -> None:
        for name in VECTOR_COLUMNS:
            vector = getattr(row, name)
            if vector is None:
                continue
            self._width = self._width or len(vector)
            if len(vector) != self._width:
                raise ValueError(f"its {name} has {len(vector)} numbers, not {self._width}")
            if not np.isfinite(vector).all():
                raise ValueError(f"its {name} is not finite")

    def _limit(self, sample: Sample) -> str | None:
        """The limit that a sample does not keep, if there is one."""
        options = self._options
        length = sample.num_samples / sample.sample_rate * 100
        if length < options.min_length:
            return "too short"
        if length > options.max_length:
            return "too long"
        if len(sample.text) < options.token_min_length:
            return "too few text tokens"
        if len(sample.text) > options.token_max_length:
            return "too many text tokens"
        if length and len(sample.text) / length < options.min_output_input_ratio:
            return "too few text tokens for its duration"
        if length and len(sample.text) / length > options.max_output_input_ratio:
            return "too many text tokens for its duration"
        return None

    def _fit(self, sample: Sample) -> Sample:
        """Compute the lengths of a sample as features."""
        options, mel = self._options, self._options.mel
        sample.num_samples = ceil(sample.num_samples * mel.sample_rate / sample.sample_rate)
        if options.truncate_length is not None:
            spare = sample.num_samples - options.truncate_length
            sample.start = self._random.randint(0, spare) if spare > 0 else 0
            sample.num_samples = options.truncate_length
        per_token = options.frames_per_token
        if options.fit == "pad":
            unit = per_token * mel.hop_length
            sample.num_samples = ceil(sample.num_samples / unit) * unit
        sample.num_frames = mel.num_frames(sample.num_samples)
        if options.fit == "trim" and sample.row.speech_token is not None:
            sample.num_tokens = min(sample.num_frames // per_token, sample.num_tokens)
            sample.num_frames = per_token * sample.num_tokens
        return sample


class _StopError(ValueError):
    """A bad row or file ends the run."""


def _read_header(row: TokenRow) -> tuple[int, int]:
    """Sample rate and number of samples of the audio of a row."""
    if isinstance(row.audio, np.ndarray):
        check_rate(int(row.sample_rate or 0))
        return int(row.sample_rate or 0), len(row.audio)
    return read_header(row.audio)
