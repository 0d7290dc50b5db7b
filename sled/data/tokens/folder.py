"""Kaldi folders as recipes of speech tokens have them: a recording for each utterance.

`wav.scp`, `text`, `utt2spk` and `spk2utt` have a line for each name; `instruct`, an instruction of
how to say an utterance, is optional. Paths in `wav.scp` start from the working directory, as the
published tools read them, or else from the folder.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import soundfile

from sled.data.corpora.detect import read_recordings
from sled.data.corpora.items import Item, Rejected, Utterance, is_encodable, is_file
from sled.data.corpora.kaldi import find_audio, read_recordings_table, read_table
from sled.data.tokens.header import read_header
from sled.files.digest import source_of
from sled.files.progress import track

# Of utterances whose speaker the corpus does not tell.
DEFAULT_SPEAKER = "default_speaker"

_AUDIO_FOLDER = "audio"


@dataclass(frozen=True)
class FolderUtterance:
    """An utterance of a folder.

    Attributes:
        id: Its name.
        wav: Its audio file, as `wav.scp` has it.
        text: What it says.
        speaker: Name of the speaker.
        instruct: How it is said. None: not told.
        folder: The folder.
    """

    id: str
    wav: str
    text: str
    speaker: str
    instruct: str | None
    folder: Path

    @property
    def audio(self) -> Path:
        """The audio file, as found from the working directory."""
        return _find(self.wav, self.folder)


def _find(wav: str, folder: Path) -> Path:
    return find_audio(wav, Path(), folder)


def read_audio_paths(folder: Path) -> dict[str, Path]:
    """Read the audio file of each utterance of a folder from `wav.scp`, the only file it needs.

    Raises:
        ValueError: If `wav.scp` cannot be read or is empty.
    """
    recordings = read_recordings_table(folder)
    if not recordings:
        raise ValueError(f"{folder / 'wav.scp'} names no recordings: check the path")
    return {name: _find(wav, folder) for name, wav in recordings.items()}


def read_folder(
    folder: Path, on_bad: Callable[[str, str], None] | None = None
) -> list[FolderUtterance]:
    """Read the utterances of a folder, in the order of `wav.scp`.

    Args:
        folder: The folder.
        on_bad: Told of each utterance without text or speaker, and the reason; it is left out then.
            None: such an utterance is an error.

    Raises:
        ValueError: If a file is missing, a name is twice in one, or an utterance lacks its text or
            speaker.
    """
    recordings = read_recordings_table(folder)
    texts, speakers = read_table(folder / "text"), read_table(folder / "utt2spk")
    has_instructions = (folder / "instruct").is_file()
    instructions = read_table(folder / "instruct") if has_instructions else {}
    utterances = []
    for name, wav in recordings.items():
        without = [
            file for file, table in (("text", texts), ("utt2spk", speakers)) if name not in table
        ]
        if without:
            if on_bad is None:
                raise ValueError(f"{folder / without[0]} has no line for {name}: add it")
            on_bad(name, f"{' and '.join(without)} has no line for it")
            continue
        text = " ".join(texts[name].split())
        utterances.append(
            FolderUtterance(name, wav, text, speakers[name], instructions.get(name), folder)
        )
    if not recordings:
        raise ValueError(f"{folder / 'wav.scp'} names no recordings: check the path")
    return utterances


def read_any_corpus(path: Path, needs_text: bool = True) -> Iterator[Item]:
    """Yield the items of a corpus of any form, with names and speakers from those of its files.

    A recording `speaker/name.wav` has the name `speaker_name`, or `name` if it begins with that of
    the speaker, as in LibriTTS. Of `name.wav`, the speaker is what stands before the first `_`.

    Args:
        path: The corpus.
        needs_text: Whether JSON lines without a text are malformed.

    Raises:
        ValueError: If it is of no known form.
    """
    for item in read_recordings(path, needs_text):
        if isinstance(item, Utterance) and item.speaker is None and item.recording_id is None:
            item = _named_by_path(item)
        yield item


def _named_by_path(item: Utterance) -> Utterance:
    folder, _, stem = item.id.rpartition("/")
    speaker = folder.partition("/")[0]
    if not folder:
        speaker = stem.partition("_")[0] if "_" in stem else DEFAULT_SPEAKER
    own = stem if not folder or stem.startswith(f"{speaker}_") else f"{speaker}_{stem}"
    return replace(item, id=own, speaker=speaker)


def write_folder(
    items: Iterable[Item], folder: Path, stop_at_bad: bool = False, needs_text: bool = True
) -> list[Rejected]:
    """Write a corpus as a folder.

    Parts of recordings are written as recordings of their own; those that an earlier run wrote are
    kept. An item that the form cannot hold is left out. The files appear when all items are read.

    Args:
        items: The corpus.
        folder: The folder; it may hold an earlier one of the same corpus.
        stop_at_bad: Whether an item that the form cannot hold ends the run.
        needs_text: Whether an item with a blank text is left out.

    Returns:
        What was left out.

    Raises:
        ValueError: If nothing is left, or an item is bad and `stop_at_bad` is true.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines: dict[str, list[str]] = {"wav.scp": [], "text": [], "utt2spk": []}
    of_speaker: dict[str, list[str]] = {}
    rejected: list[Rejected] = []
    names: set[str] = set()
    for item in track(items, f"write {folder.name}", "recording"):
        line = item if isinstance(item, Rejected) else _fit(item, folder, names, needs_text)
        if isinstance(line, Rejected):
            if stop_at_bad:
                raise line.to_error()
            rejected.append(line)
            continue
        name, wav, text, speaker = line
        for file, value in zip(lines, (wav, text, speaker), strict=True):
            lines[file].append(f"{name} {value}".rstrip())
        of_speaker.setdefault(speaker, []).append(name)
    if not names:
        raise ValueError(
            f"none of {len(rejected)} items can be written to {folder}"
            + (f": {rejected[0].id}: {rejected[0].detail}" if rejected else ": check the input")
        )
    lines["spk2utt"] = [f"{speaker} {' '.join(own)}" for speaker, own in of_speaker.items()]
    for file, content in lines.items():
        partial = folder / f".{file}.part"
        partial.write_text("\n".join(content) + "\n", encoding="utf-8")
        partial.replace(folder / file)
    return rejected


def _fit(
    item: Utterance, folder: Path, names: set[str], needs_text: bool
) -> tuple[str, str, str, str] | Rejected:
    """Name, audio, text and speaker of an utterance in one word each but for the text."""
    name = re.sub(r"[\s/\\]+", "_", item.id)
    text = " ".join(item.text.split())
    speaker = re.sub(r"\s+", "_", item.speaker or DEFAULT_SPEAKER)
    audio = item.audio
    if not is_encodable(name, text, speaker, str(audio)):
        return Rejected(
            item.id, "broken_text", "its text or a name is not UTF-8 (a lone surrogate)"
        )
    if not name:
        return Rejected(item.id, "malformed", "its id is blank")
    if needs_text and not text:
        return Rejected(item.id, "empty_text", "its text is blank")
    if name in names:
        return Rejected(item.id, "duplicate_id", f"an earlier one is called {name}, too")
    if not is_file(audio):
        return Rejected(item.id, "missing_audio", f"no file {audio}")
    try:
        read_header(audio)
    except ValueError as error:
        return Rejected(item.id, "unusable_audio", f"{error}, {audio}")
    if item.start_s or item.duration_s is not None:
        try:
            audio = _cut(item, folder / _AUDIO_FOLDER, name)
        except (soundfile.LibsndfileError, OSError, ValueError) as error:
            return Rejected(item.id, "unusable_audio", str(error))
    if any(character.isspace() for character in str(audio)):
        detail = f"the form holds no path with white space, {audio}: rename it"
        return Rejected(item.id, "missing_audio", detail)
    names.add(name)
    return name, str(audio), text, speaker


def _cut(item: Utterance, folder: Path, name: str) -> Path:
    """Write a part of a recording as a file, unless it is there.

    The name of the file tells from which part of which recording it is, so no other file is ever
    written over, and a part is written again if its recording or its times have changed.
    """
    source = str(item.audio.resolve()), source_of(item.audio)
    part = repr((*source, item.start_s, item.duration_s)).encode()
    path = folder / f"{name}-{hashlib.blake2b(part, digest_size=6).hexdigest()}.wav"
    if path.exists():
        return path
    folder.mkdir(exist_ok=True)
    partial = path.with_suffix(".part")
    with soundfile.SoundFile(item.audio) as file:
        first = round(item.start_s * file.samplerate)
        if first >= file.frames:
            raise ValueError(f"it begins at {item.start_s:g} s, after the end of {item.audio}")
        file.seek(first)
        wanted = -1 if item.duration_s is None else round(item.duration_s * file.samplerate)
        samples = file.read(wanted, dtype="float32")
        soundfile.write(partial, samples, file.samplerate, format="WAV", subtype="PCM_16")
    os.replace(partial, path)
    return path
