"""A `metadata.csv` beside its recordings with columns separated by `|`, as in LJ Speech.

    one|The garden was quiet.
    wavs/two.flac|Nobody had been there for years.

All lines have as many columns as most. Quotation marks belong to the text; they do not quote
columns. With two columns, a `|` in the text belongs to the text.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from sled.data.corpora.items import Item, Rejected, Utterance, is_file, read_lines
from sled.data.corpora.options import AUDIO_SUFFIXES, spellings


def read_metadata_csv(
    path: Path,
    audio_dir: Path | None = None,
    text_column: int | None = None,
    speaker_column: int | None = None,
) -> list[Item]:
    """Read the items of a metadata file.

    The first column names the audio file, with or without its suffix and the folder it is in.

    Args:
        path: The file, or the folder that holds it as `metadata.csv`.
        audio_dir: Folder of the recordings. None: `wavs` beside the file if it exists, else the
            folder of the file.
        text_column: Number of the text column, counted from 1. None: the last, which in LJ Speech
            is the normalised text, with numbers written as words.
        speaker_column: Number of the speaker column. None: no such column.

    Raises:
        ValueError: If the file is missing, its columns are separated otherwise, or a column number
            is invalid.
    """
    if path.is_dir():
        path = path / "metadata.csv"
    for flag, column in {"text": text_column, "speaker": speaker_column}.items():
        if column is not None and column < 2:
            raise ValueError(f"--{flag}_column {column}: 2 is the first after the file names")
    folders = [] if audio_dir is None else [audio_dir]
    if audio_dir is None:
        folders = [folder for folder in (path.parent / "wavs", path.parent) if folder.is_dir()]
    lines = {number: line for number, line in enumerate(read_lines(path), start=1) if line.strip()}
    rows = {number: [field.strip() for field in line.split("|")] for number, line in lines.items()}
    _check_separator(path, list(lines.values()))
    usual = _usual_columns(list(rows.values()))

    items: list[Item] = []
    for number, (name, *columns) in rows.items():
        if usual == 2 and columns:  # a | in the text
            columns = [lines[number].partition("|")[2].strip()]
        wanted = max(usual, text_column or 0, speaker_column or 0)
        if len(columns) + 1 != wanted:
            detail = f"line {number} of {path} has {len(columns) + 1} columns, not {wanted}"
            items.append(Rejected(name, "malformed", detail))
            continue
        items.append(
            Utterance(
                id=_strip_suffix(name),
                audio=_find_audio(folders, name),
                text=columns[-1 if text_column is None else text_column - 2],
                speaker=None if speaker_column is None else columns[speaker_column - 2],
            )
        )
    return items


def _check_separator(path: Path, lines: Sequence[str]) -> None:
    """Raise ValueError if another separator takes the place of `|` in the whole file."""
    if any("|" in line for line in lines):
        return
    for separator, name in (("\t", "tabs"), (";", "semicolons"), (",", "commas")):
        if lines and all(separator in line for line in lines):
            raise ValueError(
                f"{path} separates its columns by {name}: separate them by |, such as "
                f"{'|'.join(lines[0].split(separator, 1))[:60]!r}"
            )


def _usual_columns(rows: Sequence[Sequence[str]]) -> int:
    """Number of columns of most rows, 2 or more; of two that are equally frequent, the smaller."""
    counts = Counter(len(row) for row in rows if len(row) > 1)
    return max(counts, key=lambda columns: (counts[columns], -columns), default=2)


def _strip_suffix(name: str) -> str:
    """Remove an audio suffix from a name; other dots belong to the name."""
    path = Path(name)
    if path.suffix.lower() in AUDIO_SUFFIXES:
        path = path.with_suffix("")
    return path.as_posix() if name else ""


def _find_audio(folders: Sequence[Path], name: str) -> Path:
    """Path of an audio file; if there is none, the path where it was expected.

    Args:
        folders: Where to look, in this order.
        name: With or without suffix; it may contain folders, also that of the recordings itself.
    """
    candidates = list(_candidates(folders, name))
    return next((path for path in candidates if is_file(path)), candidates[0])


def _candidates(folders: Sequence[Path], name: str) -> Iterator[Path]:
    stem = _strip_suffix(name)
    own = tuple(one for one in (Path(name).suffix,) if one.lower() in AUDIO_SUFFIXES)
    suffixes = (*own, *spellings(own or AUDIO_SUFFIXES))
    first, _, rest = stem.replace("\\", "/").partition("/")
    for folder in folders:
        for suffix in suffixes:
            yield folder / f"{stem}{suffix}"
    for folder in folders:
        inner = Path(rest) if first == folder.name and rest else Path(first, rest)
        for suffix in suffixes:
            yield folder / f"{inner.as_posix()}{suffix}"
