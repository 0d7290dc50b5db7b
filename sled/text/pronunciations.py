"""How words are to be pronounced: a dictionary of the user.

An entry is a word, without spaces, and what is said for it: another spelling ("GIF": "jif"), or
phonemes between slashes ("Kokoro": "/kˈoʊkəɹoʊ/") for models that read phonemes. An entry in small
letters holds for any case, another one only for its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from sled.normalization.phoneme_alphabet import read_phonemes
from sled.text.markup import Event, Pause, Words

# A line of a file: the word, then a tab, two spaces or more, or an arrow, then what is said.
_LINE = re.compile(r"(?P<word>\S+)(?:\s*\t\s*|\s*=>\s*|\s{2,})(?P<said>\S.*)")
_SPACES = re.compile(r"\s+")
# A run of characters without a space is looked up in parts of this size at most.
_MAX_RUN = 64


class Pronunciations:
    """A dictionary of pronunciations.

    Args:
        entries: What is said for each word.

    Raises:
        ValueError: An entry cannot be used.
    """

    def __init__(self, entries: Mapping[str, str]) -> None:
        self._entries: dict[str, str] = {}
        for word, said in entries.items():
            if not isinstance(word, str) or not isinstance(said, str):
                raise ValueError(f"pronunciations: {word!r}: {said!r} are not two texts")
            self._entries[word] = _checked(word, said)
        longest_first = sorted(self._entries, key=len, reverse=True)
        words = "|".join(map(re.escape, longest_first)) or r"(?!)"
        self._pattern = re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE)

    @classmethod
    def read(cls, path: str | Path) -> Pronunciations:
        """Read a file. A line has a word, then a tab, two spaces or `=>`, and what is said for it.

        Blank lines and lines that begin with `#` are skipped.

        Raises:
            ValueError: The file cannot be read, or a line is no entry; with its number.
        """
        try:
            lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(
                f"pronunciations {path}: not a readable UTF-8 file ({error})"
            ) from error
        entries: dict[str, str] = {}
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            match = _LINE.fullmatch(line.strip())
            if match is None:
                raise ValueError(
                    f"{path}, line {number}: {line.strip()!r} is no entry: write a word, two "
                    "spaces or a tab, and what is said for it"
                )
            try:
                entries[match["word"]] = _checked(match["word"], match["said"])
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
        return cls(entries)

    @classmethod
    def of(cls, given: Pronunciations | Mapping[str, str] | str | Path | None) -> Pronunciations:
        """The dictionary that an option gives: entries, or the path of a file.

        Raises:
            ValueError: It cannot be used.
        """
        if isinstance(given, Pronunciations):
            return given
        if isinstance(given, str | Path):
            return cls.read(given)
        if given is not None and not isinstance(given, Mapping):
            raise ValueError(f"pronunciations={given!r}: give a mapping of words, or a file")
        return cls(given or {})

    def __bool__(self) -> bool:
        return bool(self._entries)

    @property
    def with_phonemes(self) -> list[str]:
        """The words whose pronunciation is given in phonemes."""
        return [word for word, said in self._entries.items() if _is_phonemes(said)]

    def find(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Find words of the dictionary in a text: their start, their end, what is said for each."""
        for match in self._pattern.finditer(text):
            said = self._entries.get(match[0], self._entries.get(match[0].lower()))
            if said is not None:
                yield match.start(), match.end(), said


def _is_phonemes(said: str) -> bool:
    return len(said) > 2 and said.startswith("/") and said.endswith("/")


def _checked(word: str, said: str) -> str:
    """What is said for a word, checked.

    Raises:
        ValueError: The entry cannot be used.
    """
    said = said.strip()
    if not word or _SPACES.search(word):
        raise ValueError(f"pronunciation of {word!r}: an entry is one word, without spaces")
    if not said:
        raise ValueError(f"pronunciation of {word!r}: nothing is given to be said for it")
    if _is_phonemes(said):
        try:
            read_phonemes(said)
        except ValueError as error:
            raise ValueError(f"pronunciation of {word!r}: {error}") from error
    return said


class PronunciationReader:
    """Replaces the words of a dictionary in the events of a `MarkupReader`.

    A word is replaced when it is complete: at the space behind it. The state is made of immutable
    values, so `copy.copy` makes a snapshot.
    """

    def __init__(self, pronunciations: Pronunciations) -> None:
        self._pronunciations = pronunciations
        self._run: tuple[Words, ...] = ()  # plain text since the last space

    def feed(self, event: Event) -> list[Event]:
        """Take the next event; returns those that no later one can change."""
        if isinstance(event, Pause) or event.phonemes is not None:
            return [*self.finish(), event]
        if len(event.text) != event.end - event.start:  # has no inner offsets
            self._run += (event,)
            return []
        events: list[Event] = []
        start = 0
        for space in _SPACES.finditer(event.text):
            self._extend(events, event, start, space.start())
            events += [*self.finish(), _part(event, *space.span())]
            start = space.end()
        self._extend(events, event, start, len(event.text))
        return events

    def finish(self) -> list[Event]:
        """End the word; returns the rest."""
        run, self._run = self._run, ()
        if not run:
            return []
        text = "".join(part.text for part in run)
        events: list[Event] = []
        done = 0
        for start, end, said in self._pronunciations.find(text):
            events += _cut(run, done, start)
            span = _cut(run, start, end)
            first, last = span[0].start, span[-1].end
            phonemes = said if _is_phonemes(said) else None
            written = text[start:end] if phonemes else said
            events.append(Words(written, first, last, phonemes))
            done = end
        return [*events, *_cut(run, done, len(text))]

    def _extend(self, events: list[Event], event: Words, start: int, end: int) -> None:
        """Append plain text to the word; a long one is looked up in parts."""
        while start < end:
            free = _MAX_RUN - sum(len(part.text) for part in self._run)
            if free <= 0:
                events += self.finish()
                free = _MAX_RUN
            stop = min(end, start + free)
            self._run += (_part(event, start, stop),)
            start = stop


def _part(words: Words, start: int, end: int) -> Words:
    """A part of plain text, of which each character comes from one."""
    return Words(words.text[start:end], words.start + start, words.start + end)


def _cut(run: tuple[Words, ...], start: int, end: int) -> list[Words]:
    """The parts of a run between two places in its text."""
    found = []
    for part in run:
        first, last = max(0, start), min(len(part.text), end)
        if first < last:
            is_plain = len(part.text) == part.end - part.start
            other = Words(part.text[first:last], part.start, part.end)
            found.append(_part(part, first, last) if is_plain else other)
        start, end = start - len(part.text), end - len(part.text)
    return found
