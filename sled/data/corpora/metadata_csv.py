"""A `metadata.csv` beside its recordings, columns parted by `|`: LJ Speech and what follows it.

There are no quotes to be undone: in this form a quotation mark belongs to the text.
"""

from pathlib import Path

from sled.data.corpora.checks import AUDIO_SUFFIXES
from sled.data.corpora.items import Item, Rejected, Utterance, read_lines


def read_metadata_csv(
    path: Path,
    audio_dir: Path | None = None,
    text_column: int | None = None,
    speaker_column: int | None = None,
) -> list[Item]:
    """Items of a metadata file. The first column names the audio file, with or without a suffix.

    Args:
        path: the file, or the folder that holds it as `metadata.csv`.
        audio_dir: folder of the recordings; None: `wavs` beside the file if there is one, else
            the file's own folder.
        text_column: which column is the text, counted from 1; None: the last, in LJ Speech the
            normalised text, with numbers written out.
        speaker_column: which column names the speaker; None: there is none.

    Raises:
        ValueError: no such file, or a column that cannot be.
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
    """The name without an audio suffix; other dots are part of it."""
    path = Path(name)
    return path.with_suffix("").as_posix() if path.suffix.lower() in AUDIO_SUFFIXES else name


def _find_audio(folder: Path, name: str) -> Path:
    """The file of that name; where it has no suffix, the first there is of all possible ones."""
    if _strip_suffix(name) != name:
        return folder / name
    candidates = [folder / f"{name}{suffix}" for suffix in AUDIO_SUFFIXES]
    return next((path for path in candidates if path.is_file()), candidates[0])
