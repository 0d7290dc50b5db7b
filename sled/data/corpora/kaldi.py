"""Kaldi data folders: `wav.scp` and `text`, with `segments` and `utt2spk` where there are some.

Lhotse's own reader takes the sample rate on trust and runs what `wav.scp` pipes; this one opens
files, and refuses pipes.
"""

from collections.abc import Iterator
from pathlib import Path

from sled.data.corpora.items import Item, Rejected, Utterance, read_lines

TO_THE_END = -1.0  # in segments: up to the end of the recording


def read_kaldi(folder: Path, audio_dir: Path | None = None) -> list[Item]:
    """Items of a Kaldi data folder, in the order of its `text`.

    Args:
        folder: holds `wav.scp` and `text`; without `segments`, every recording is an utterance.
        audio_dir: folder that relative paths in `wav.scp` start from; None: `folder`.

    Raises:
        ValueError: a file that is missing, names something twice, or pipes audio from a command.
    """
    recordings = _read_table(folder / "wav.scp")
    for name, source in recordings.items():
        if source.startswith("|") or source.endswith("|"):
            raise ValueError(
                f"{folder / 'wav.scp'}: {name} is the output of a command, and commands are never "
                "run: run it yourself once, keep its output as a file, and name that"
            )
    segments = _read_table(folder / "segments") if (folder / "segments").is_file() else None
    speakers = _read_table(folder / "utt2spk") if (folder / "utt2spk").is_file() else {}
    base = folder if audio_dir is None else audio_dir

    items: list[Item] = []
    seen = set()
    for name, text in _read_rows(folder / "text"):
        seen.add(name)
        try:
            recording, start, duration = _find_segment(name, segments)
        except ValueError as error:
            items.append(Rejected(name, "malformed", str(error)))
            continue
        if recording not in recordings:
            detail = f"wav.scp has no recording {recording}"
            items.append(Rejected(name, "missing_audio", detail))
            continue
        audio = base / recordings[recording]
        items.append(Utterance(name, audio, text, start, duration, speakers.get(name), recording))
    for name in recordings if segments is None else segments:
        if name not in seen:
            items.append(Rejected(name, "empty_text", "it has no line in text"))
    return items


def _find_segment(name: str, segments: dict[str, str] | None) -> tuple[str, float, float | None]:
    """Recording, start and duration (None: the rest) of an utterance.

    Raises:
        ValueError: it has no segment, or one that is none.
    """
    if segments is None:
        return name, 0.0, None
    if name not in segments:
        raise ValueError("it has no line in segments")
    try:
        recording, start, end = segments[name].split()
        start_s, end_s = float(start), float(end)
    except ValueError:
        raise ValueError(
            f"its segment {segments[name]!r} is not a recording, a start and an end"
        ) from None
    return recording, start_s, None if end_s == TO_THE_END else end_s - start_s


def _read_rows(path: Path) -> Iterator[tuple[str, str]]:
    """First word and rest of each line that is not blank."""
    for line in read_lines(path):
        words = line.split(maxsplit=1)
        if words:
            yield words[0], "".join(words[1:]).strip()


def _read_table(path: Path) -> dict[str, str]:
    table: dict[str, str] = {}
    for name, value in _read_rows(path):
        if name in table:
            raise ValueError(f"{path} names {name} twice: keep one")
        table[name] = value
    return table
