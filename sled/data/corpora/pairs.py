"""A folder of recordings, each beside a text file of the same name: `one.wav` and `one.txt`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sled.data.corpora.items import Item, Rejected, Utterance
from sled.data.corpora.options import AUDIO_SUFFIXES, spellings

TEXT_SUFFIXES = (".txt", ".lab", ".normalized.txt")


def read_pairs(folder: Path) -> Iterator[Item]:
    """Yield a recording for each audio file in a folder and the folders in it, by name.

    Args:
        folder: The folder.
    """
    for audio in sorted(folder.rglob("*")):
        if audio.suffix.lower() not in AUDIO_SUFFIXES or audio.name.startswith("."):
            continue
        name = audio.relative_to(folder).with_suffix("").as_posix()
        text = find_text(audio)
        if text is None:
            detail = f"no {audio.stem}.txt beside {audio}"
            yield Rejected(name, "empty_text", detail)
            continue
        try:
            yield Utterance(name, audio, text.read_text(encoding="utf-8-sig"))
        except UnicodeDecodeError:
            yield Rejected(name, "broken_text", f"{text} is not UTF-8 text")


def find_text(audio: Path) -> Path | None:
    """The text file beside an audio file, if there is one."""
    candidates = (audio.with_suffix(suffix) for suffix in spellings(TEXT_SUFFIXES))
    return next((path for path in candidates if path.is_file()), None)
