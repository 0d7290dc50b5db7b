"""Kaldi data folders: `wav.scp` and `text`, optionally with `segments` and `utt2spk`.

Lhotse's own reader trusts the given sample rate and runs the commands in `wav.scp`; this reader
opens the files and refuses commands.
"""

from collections.abc import Iterator
from pathlib import Path

from sled.data.corpora.items import Item, Rejected, Utterance, is_file, read_lines

# End of a segment that lasts to the end of its recording.
TO_THE_END = -1.0


def read_kaldi(folder: Path, audio_dir: Path | None = None) -> list[Item]:
    """Read the items of a Kaldi data folder, in the order of its `text`.

    Args:
        folder: Holds `wav.scp` and `text`; without `segments`, every recording is an utterance.
        audio_dir: Folder that relative paths in `wav.scp` start from. None: `folder`, or else the
            working directory, as in folders that `sled prepare kaldi-folder` wrote.

    Raises:
        ValueError: If a file is missing, names something twice, or takes audio from a command.
    """
    recordings = read_recordings_table(folder)
    segments = read_table(folder / "segments") if (folder / "segments").is_file() else None
    speakers = read_table(folder / "utt2spk") if (folder / "utt2spk").is_file() else {}
    bases = (folder, Path()) if audio_dir is None else (audio_dir,)
    paths: dict[str, Path] = {}

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
        if recording not in paths:
            paths[recording] = find_audio(recordings[recording], *bases)
        audio = paths[recording]
        items.append(Utterance(name, audio, text, start, duration, speakers.get(name), recording))
    for name in recordings if segments is None else segments:
        if name not in seen:
            items.append(Rejected(name, "empty_text", "it has no line in text"))
    return items


def find_audio(wav: str, *bases: Path) -> Path:
    """The audio file that a line of `wav.scp` names.

    Args:
        wav: Its path.
        bases: Folders that a relative path may start from. The first that has the file decides; if
            none has it, the first.
    """
    paths = [base / wav for base in bases]
    if Path(wav).is_absolute():  # saves looking for it
        return paths[0]
    return next((path for path in paths if is_file(path)), paths[0])


def read_recordings_table(folder: Path) -> dict[str, str]:
    """Read the audio file of each recording from `wav.scp`.

    Raises:
        ValueError: If the file is missing, names something twice, or takes audio from a command.
    """
    recordings = read_table(folder / "wav.scp")
    for name, source in recordings.items():
        if source.startswith("|") or source.endswith("|"):
            raise ValueError(
                f"{folder / 'wav.scp'}: {name} is the output of a command, and commands are not "
                "run: run it yourself, save its output as a file, and name that file"
            )
    return recordings


def _find_segment(name: str, segments: dict[str, str] | None) -> tuple[str, float, float | None]:
    """Recording, start and duration (None: to the end) of an utterance.

    Raises:
        ValueError: If it has no segment, or an invalid one.
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
    """Yield the first word and the rest of each line that is not blank."""
    for line in read_lines(path):
        words = line.split(maxsplit=1)
        if words:
            yield words[0], "".join(words[1:]).strip()


def read_table(path: Path) -> dict[str, str]:
    """Read a file with a name and its value on each line, in order.

    Raises:
        ValueError: If the file is missing or names something twice.
    """
    table: dict[str, str] = {}
    for name, value in _read_rows(path):
        if name in table:
            raise ValueError(f"{path} names {name} twice: keep one")
        table[name] = value
    return table
