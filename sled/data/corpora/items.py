"""Items that readers of corpora yield: unchecked utterances, and lines that cannot be parsed."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

# Of files that list the utterances of a corpus.
LIST_SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".tsv")

# Every reason for a rejection, and its remedy.
REMEDIES = {
    "malformed": "correct the line (docs/training.md shows one of each form)",
    "empty_text": "transcribe it",
    "broken_text": "write it again as UTF-8, and name its file so",
    "missing_audio": "check the path, and the folder that relative paths start from (--audio_dir)",
    "unusable_audio": "convert or record it again as WAV, FLAC, Ogg, Opus or MP3",
    "silent_audio": "record it again, or louder",
    "outside_recording": "correct its start and duration",
    "too_short": "lower --min_duration",
    "too_long": "cut it into sentences, or raise --max_duration",
    "too_few_characters": "complete its text, or lower --min_chars_per_s",
    "too_many_characters": "correct its text, or raise --max_chars_per_s",
    "duplicate_id": "give every utterance an id of its own",
}


@dataclass(frozen=True)
class Utterance:
    """A text and its audio, as stated by the corpus; nothing has been checked.

    Attributes:
        id: Unique in the corpus.
        audio: The audio file, as found from the working directory.
        text: The text as it is in the corpus.
        start_s: Start in the file.
        duration_s: Duration. None: to the end of the file.
        speaker: Name of the speaker, if known.
        recording_id: Name of the file, the same for all its utterances. None: the id of the
            utterance.
    """

    id: str
    audio: Path
    text: str
    start_s: float = 0.0
    duration_s: float | None = None
    speaker: str | None = None
    recording_id: str | None = None


@dataclass(frozen=True)
class Rejected:
    """An item that is left out.

    Attributes:
        id: Id of the utterance, or the place of a line that has none.
        reason: A key of REMEDIES.
        detail: What is wrong with this item.
    """

    id: str
    reason: str
    detail: str

    def __post_init__(self) -> None:
        assert self.reason in REMEDIES, self.reason

    def to_error(self) -> ValueError:
        """The error of a run that stops at the first bad item."""
        return ValueError(
            f"{self.id}: {self.reason} ({self.detail}): {REMEDIES[self.reason]}, "
            "or leave bad items out with --on_bad skip"
        )


Item: TypeAlias = Utterance | Rejected


def is_file(path: Path) -> bool:
    """Whether there is a file; not if the name is impossible, either."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_encodable(*texts: str | None) -> bool:
    """Whether texts can be written as UTF-8.

    A lone surrogate cannot. Python puts them into file names that are not UTF-8, and JSON can hold
    them.
    """
    try:
        "".join(filter(None, texts)).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 text file without line ends; `.gz` is unpacked.

    Raises:
        ValueError: If the file is missing, a folder, a broken archive, or not UTF-8 text.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name the file in it{_examples(path)}")
    if not path.is_file():
        raise ValueError(f"no file {path}: check the path")
    try:
        # utf-8-sig: some editors put a byte order mark before the first line.
        with (
            gzip.open(path, "rt", encoding="utf-8-sig")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8-sig")
        ) as file:
            for line in file:
                yield line.rstrip("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: convert it first") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is a broken archive ({error}): download it again") from error


def _examples(folder: Path) -> str:
    """Names of files in a folder that may be meant."""
    found = sorted(path.name for suffix in LIST_SUFFIXES for path in folder.glob(f"*{suffix}"))
    return f", such as {folder / found[0]}" if found else ""


def read_json_lines(path: Path, parse: Callable[[dict[str, Any]], Utterance]) -> Iterator[Item]:
    """Yield the items of a JSON lines file; blank lines are skipped.

    Args:
        path: A `.jsonl` or `.jsonl.gz` file.
        parse: Makes an utterance of the object on a line. If it raises a lookup, type or value
            error, the line is rejected.
    """
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        place = f"{path.name}:{number}"
        try:
            fields = _load_json(line)
            if not isinstance(fields, dict):
                raise ValueError("not a JSON object")
            place = str(fields.get("id", place))
            yield parse(fields)
        except KeyError as error:
            yield Rejected(place, "malformed", f"line {number} of {path} has no {error}")
        except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
            yield Rejected(place, "malformed", f"line {number} of {path}: {error}")


def _load_json(line: str) -> Any:
    try:
        return json.loads(line)
    except RecursionError as error:
        raise ValueError("its brackets are nested too deeply") from error
