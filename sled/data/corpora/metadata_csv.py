"""A `metadata.csv` beside its recordings with columns separated by `|`, as in LJ Speech.

Quotation marks belong to the text; they do not quote columns.
"""

from pathlib import Path

from sled.data.corpora.items import Item, Rejected, Utterance, read_lines
from sled.data.corpora.options import AUDIO_SUFFIXES


def read_metadata_csv(
    path: Path,
    audio_dir: Path | None = None,
    text_column: int | None = None,
    speaker_column: int | None = None,
) -> list[Item]:
    """Read the items of a metadata file. The first column names the audio file, suffix optional.

    Args:
        path: The file, or the folder that holds it as `metadata.csv`.
        audio_dir: Folder of the recordings. None: `wavs` beside the file if it exists, else the
            folder of the file.
        text_column: Number of the text column, counted from 1. None: the last, which in LJ Speech
            is the normalised text, with numbers written as words.
        speaker_column: Number of the speaker column. None: no such column.

    Raises:
        ValueError: If the file is missing, or a column number is invalid.
    """
    if path.is_dir():
        path = path / "metadata.csv"
    for flag, column in {"text": text_column, "speaker": speaker_column}.items():
        if column is not None and column < 2:
            raise ValueError(f"--{flag}_column {column}: 2 is the first after the file names")
    if audio_dir is None:
        wavs = path.parent / "wavs"
        audio_dir = wavs if wavs.is_dir() else path.parent

    items: list[Item] = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        name, *columns = line.split("|")
        wanted = max(2, text_column or 0, speaker_column or 0)
        if len(columns) + 1 < wanted:
            detail = f"line {number} of {path} has {len(columns) + 1} columns, not {wanted}"
            items.append(Rejected(name, "malformed", detail))
            continue
        items.append(
            Utterance(
                id=_strip_suffix(name),
                audio=_find_audio(audio_dir, name),
                text=columns[-1 if text_column is None else text_column - 2],
                speaker=None if speaker_column is None else columns[speaker_column - 2].strip(),
            )
        )
    return items


def _strip_suffix(name: str) -> str:
    """Remove an audio suffix from a name; other dots belong to the name."""
    path = Path(name)
    return path.with_suffix("").as_posix() if path.suffix.lower() in AUDIO_SUFFIXES else name


def _find_audio(folder: Path, name: str) -> Path:
    """Path of an audio file; for a name without suffix, the first file with an AUDIO_SUFFIXES."""
    if _strip_suffix(name) != name:
        return folder / name
    candidates = [folder / f"{name}{suffix}" for suffix in AUDIO_SUFFIXES]
    return next((path for path in candidates if path.is_file()), candidates[0])
