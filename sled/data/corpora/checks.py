"""Checks of the utterances of a corpus: each becomes a Lhotse cut or is rejected with a reason.

White space in a text is collapsed to single spaces, and removed at both ends. Texts are not
normalised in any other way, not even to a Unicode normal form: if a model needs that, its tokenizer
does it, in training and in synthesis alike.
"""

import json
import os
import stat
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from lhotse import MonoCut, MultiCut, Recording, SupervisionSegment
from lhotse.audio import AudioSource
from lhotse.cut import Cut

from sled.data.corpora.items import Item, Rejected, Utterance, is_encodable
from sled.data.corpora.options import AUDIO_SUFFIXES, Limits
from sled.data.manifests import can_name_files
from sled.files.audio import SILENCE_PEAK, check_audible, check_full_scale
from sled.files.channels import mix_channels
from sled.files.wav_size import missing_seconds

# Corpora round times, so an utterance may seem to end slightly after its recording.
END_TOLERANCE_S = 0.05


class Header(NamedTuple):
    """Properties from the header of an audio file.

    Attributes:
        sample_rate: In Hz.
        num_samples: Samples of each channel that are in the file.
        num_channels: Channels.
        missing_s: Seconds at the end that the header announces and the file does not have.
    """

    sample_rate: int
    num_samples: int
    num_channels: int
    missing_s: float

    @property
    def duration_s(self) -> float:
        """Duration in seconds."""
        return self.num_samples / self.sample_rate


class Span(NamedTuple):
    """A part of a recording."""

    start_s: float
    duration_s: float


class _Unusable(Exception):
    """An utterance cannot be used; the arguments are the reason and the detail of its rejection."""


def check_item(item: Item, limits: Limits, root: Path) -> str | Rejected:
    """Check one item of a corpus.

    Args:
        item: Item from the reader of the corpus.
        limits: Limits of a plausible utterance.
        root: Folder of the manifest to be written. Paths to audio in this folder are relative to
            it, so that the folder can be moved; other paths are absolute.

    Returns:
        A line of the manifest, or the rejection.
    """
    if isinstance(item, Rejected):
        return item
    try:
        _check_encodable(item)
        if not can_name_files(item.id):
            raise _Unusable("malformed", f"the id {item.id!r} cannot be the name of a file")
        text = _check_text(item.text)
        header = _read_header(item.audio)
        span = _find_span(item, header)
        _check_plausible(text, span, limits)
        if limits.decode_audio:
            _check_samples(item.audio, span, header)
        line = json.dumps(_make_cut(item, text, span, header, root).to_dict(), ensure_ascii=False)
    except _Unusable as problem:
        reason, detail = problem.args
        return Rejected(item.id, reason, detail)
    return line


def _check_text(text: str) -> str:
    text = " ".join(text.split())
    if not text:
        raise _Unusable("empty_text", "its text is blank")
    return text


def _check_encodable(item: Utterance) -> None:
    names = item.id, str(item.audio.absolute()), item.speaker, item.recording_id
    if not is_encodable(item.text, *names):
        raise _Unusable("broken_text", "its text or a name is not UTF-8 (a lone surrogate)")


def _read_header(path: Path) -> Header:
    if path.suffix.lower() not in AUDIO_SUFFIXES:
        raise _Unusable("unusable_audio", f"{path} is not one of {', '.join(AUDIO_SUFFIXES)}")
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: an impossible file name
        raise _Unusable("missing_audio", f"no file {path}") from error
    if not stat.S_ISREG(found.st_mode):
        raise _Unusable("missing_audio", f"{path} is not a file")
    try:
        header = _cached_header(path, found.st_mtime_ns, found.st_size)
    except (soundfile.LibsndfileError, OSError) as error:
        raise _Unusable("unusable_audio", str(error)) from error
    if header.num_samples == 0:
        raise _Unusable("unusable_audio", f"{path} holds no audio")
    return header


@lru_cache(maxsize=4096)
def _cached_header(path: Path, mtime_ns: int, size: int) -> Header:
    """Header of a file, cached, because in some corpora hundreds of utterances share a file."""
    info = soundfile.info(path)
    return Header(info.samplerate, info.frames, info.channels, missing_seconds(path))


def _find_span(utterance: Utterance, header: Header) -> Span:
    start = utterance.start_s
    rest = header.duration_s - start
    duration = rest if utterance.duration_s is None else utterance.duration_s
    # Negated as a whole, so that NaN fails too.
    if not (start >= 0 and rest > 0 and 0 < duration <= rest + END_TOLERANCE_S):
        raise _Unusable(
            "outside_recording",
            f"from {start:g} s for {duration:g} s in a recording of {header.duration_s:g} s",
        )
    if utterance.duration_s is None and header.missing_s > END_TOLERANCE_S:
        raise _Unusable(
            "unusable_audio",
            f"{utterance.audio} breaks off: its last {header.missing_s:.3g} s are missing",
        )
    return Span(start, min(duration, rest))


def _check_plausible(text: str, span: Span, limits: Limits) -> None:
    duration = span.duration_s
    if duration < limits.min_duration_s:
        raise _Unusable("too_short", f"{duration:.3g} s, under {limits.min_duration_s:g}")
    if duration > limits.max_duration_s:
        raise _Unusable("too_long", f"{duration:.3g} s, over {limits.max_duration_s:g}")
    rate = len(text.replace(" ", "")) / duration
    if rate < limits.min_chars_per_s:
        raise _Unusable("too_few_characters", f"{rate:.2g} a second: {_shorten(text)}")
    if rate > limits.max_chars_per_s:
        raise _Unusable("too_many_characters", f"{rate:.2g} a second: {_shorten(text)}")


def _shorten(text: str, length: int = 60) -> str:
    return repr(text if len(text) <= length else text[: length - 3] + "...")


def _check_samples(path: Path, span: Span, header: Header) -> None:
    first = round(span.start_s * header.sample_rate)
    wanted = round(span.duration_s * header.sample_rate)
    try:
        samples, _ = soundfile.read(
            path, frames=wanted, start=first, dtype="float32", always_2d=True
        )
    except (soundfile.LibsndfileError, OSError) as error:
        raise _Unusable("unusable_audio", f"{path} does not decode: {error}") from error
    if len(samples) < wanted - END_TOLERANCE_S * header.sample_rate:
        seconds = len(samples) / header.sample_rate
        raise _Unusable(
            "unusable_audio", f"{path} breaks off: {seconds:.3g} of {span.duration_s:.3g} s decode"
        )
    mixed = mix_channels(samples.T)
    if np.abs(mixed).max(initial=0.0) < SILENCE_PEAK:
        raise _Unusable("silent_audio", f"{path} has a peak under {SILENCE_PEAK:g}")
    try:
        check_audible(mixed, str(path))
        check_full_scale(mixed, str(path))
    except ValueError as error:
        raise _Unusable("unusable_audio", str(error)) from error


def _make_cut(utterance: Utterance, text: str, span: Span, header: Header, root: Path) -> Cut:
    path = utterance.audio.absolute()
    if path.is_relative_to(root):
        path = path.relative_to(root)
    channels = list(range(header.num_channels))
    recording = Recording(
        id=utterance.recording_id or utterance.id,
        sources=[AudioSource(type="file", channels=channels, source=path.as_posix())],
        sampling_rate=header.sample_rate,
        num_samples=header.num_samples,
        duration=header.duration_s,
    )
    mono = header.num_channels == 1
    supervision = SupervisionSegment(
        id=utterance.id,
        recording_id=recording.id,
        start=0.0,
        duration=span.duration_s,
        channel=0 if mono else channels,
        text=text,
        speaker=utterance.speaker,
    )
    return (MonoCut if mono else MultiCut)(
        id=utterance.id,
        start=span.start_s,
        duration=span.duration_s,
        channel=0 if mono else channels,
        supervisions=[supervision],
        recording=recording,
    )
