"""An English corpus: sentences of books and made ones, read by teachers, and recordings of people.

Splits, as cut manifests with the names of speakers:

    train   what is trained on
    valid   the same speakers, other sentences
    test    sentences for judging, in the voice of the main teacher
    clone   a speaker who is in none of the others, with sentences that are not in train

Invariants: the same options give the same texts for everyone; a sentence of valid, test or clone
stands in train under no speaker; texts are kept as written, and read as `verbalize` spells them.
Single words and pieces of sentences are read too: a model learns from short readings what text is.
Some readings are joined of two, with a pause between: so it learns to go on after a prompt.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from sled.data.corpora.items import Rejected, Utterance
from sled.data.corpora.jsonl import read_jsonl
from sled.data.corpora.splits import sentence_key
from sled.data.manifests import read_texts
from sled.data.synthetic.made_sentences import make_sentence
from sled.data.synthetic.pieces import collect_words, cut_piece
from sled.data.synthetic.readings import Reading, begin, is_complete, record
from sled.data.synthetic.teachers import (
    LEADING_SILENCE_S,
    SAMPLE_RATE,
    TRAILING_SILENCE_S,
    Teacher,
    read_aloud,
    tidy,
)
from sled.files.audio import read_audio
from sled.normalization.english import verbalize

logger = logging.getLogger(__name__)

SPLITS = ("train", "valid", "test", "clone")
MAIN_SPEAKER = "heart"

# To know how much text fills an hour; what comes out is up to a tenth more or less.
CHARACTERS_PER_SECOND = 18
MAX_CHARACTERS = 220
# The first of two joined readings: as long as a prompt may be.
MAX_PROMPT_CHARACTERS = 80
# Of the sentences of recorded people, one in so many is held out.
RECORDED_PER_VALID = 50
MAX_CLONE_READINGS = 100


@dataclass(frozen=True, kw_only=True)
class EnglishOptions:
    """What the corpus is made of.

    Attributes:
        texts: Sentences to train on, one a line.
        test_texts: Sentences for judging, likewise.
        hours: Of the main teacher, about.
        voices: Other teachers.
        voice_hours: Of each of them, about.
        recordings: Recordings of one more speaker, named as their folder: JSON lines of `audio`
            and `text`. None: there are none.
        held_out: The speaker of the split clone; None: there is no such split.
        word_share: Of the hours in train, so much is single words.
        piece_share: Of the hours in train, so much is pieces of sentences.
        made_share: Of the sentences, so many are made ones.
        joined_share: Of the readings that begin with a short sentence, so many are joined.
        num_valid: Sentences of the split valid, which has as many pieces of them.
        seed: Decides everything else.
    """

    texts: Path
    test_texts: Path
    hours: float = 10.0
    voices: tuple[str, ...] = ()
    voice_hours: float = 1.0
    recordings: Path | None = None
    held_out: str | None = None
    word_share: float = 0.15
    piece_share: float = 0.35
    made_share: float = 0.25
    joined_share: float = 0.2
    num_valid: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be."""
        for name in ("word_share", "piece_share", "made_share", "joined_share"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"--{name} {getattr(self, name):g}: give 0 or more, under 1")
        if self.word_share + self.piece_share >= 1:
            raise ValueError(
                f"--word_share {self.word_share:g} and --piece_share {self.piece_share:g} leave "
                "nothing for sentences: give less"
            )
        if self.hours <= 0 or self.voice_hours <= 0:
            raise ValueError(f"{self.hours:g} and {self.voice_hours:g} hours: give more than 0")
        if self.num_valid < 1:
            raise ValueError(f"--num_valid {self.num_valid}: give 1 or more")
        if self.held_out == MAIN_SPEAKER or self.held_out not in (None, *self.speakers):
            others = " ".join(self.speakers[1:]) or "none"
            raise ValueError(
                f"--held_out {self.held_out}: name one of the speakers besides the main one, "
                f"here {others}"
            )

    @property
    def recorded_speaker(self) -> str | None:
        return None if self.recordings is None else self.recordings.absolute().parent.name

    @property
    def speakers(self) -> list[str]:
        """All of them, the main teacher first."""
        recorded = self.recorded_speaker
        return [MAIN_SPEAKER, *self.voices, *([recorded] if recorded else [])]

    def settings(self) -> dict[str, object]:
        """What decides the corpus, ready for JSON."""
        return {key: _plain(value) for key, value in asdict(self).items()}


def prepare_english(
    output_dir: Path, options: EnglishOptions, teachers: Callable[[str], Teacher]
) -> dict[str, Path]:
    """Make the corpus: 24 kHz FLAC files and one cut manifest per split.

    An interrupted run goes on where it stopped.

    Args:
        output_dir: Receives `audio/` and `cuts_<split>.jsonl.gz`.
        options: What to make.
        teachers: Gives the voice of a name when it is first needed.

    Returns:
        The manifest of each split.

    Raises:
        ValueError: A folder that holds a corpus made with other options, texts or recordings that
            cannot be read, or no such teacher.
    """
    splits = [split for split in SPLITS if split != "clone" or options.held_out]
    manifests = {split: output_dir / f"cuts_{split}.jsonl.gz" for split in splits}
    if is_complete(output_dir, options.settings(), manifests.values()):
        logger.info("%s is complete, nothing to do", output_dir)
        return manifests
    recordings = _read_recordings(options.recordings)
    readings = draw_readings(options, recordings)
    teacher = cache(teachers)

    def speak(reading: Reading) -> np.ndarray:
        if reading.id in recordings:
            return tidy(read_audio(recordings[reading.id].audio, SAMPLE_RATE).numpy())
        parts = [verbalize(part) for part in reading.parts]
        return read_aloud(parts, teacher(reading.speaker), reading.seed(options.seed))

    for name in (MAIN_SPEAKER, *options.voices):
        teacher(name)  # that there is one, before hours of reading
    begin(output_dir, options.settings())
    for split, manifest in manifests.items():
        record(readings[split], speak, output_dir, manifest)
    return manifests


def draw_readings(
    options: EnglishOptions, recordings: Mapping[str, Utterance]
) -> dict[str, list[Reading]]:
    """Who reads what, split by split."""
    sentences = _divide(options, recordings)
    teachers = [MAIN_SPEAKER, *options.voices]
    trained = [name for name in teachers if name != options.held_out]
    train, valid, test, clone = (list[Reading]() for _ in SPLITS)
    for speaker in trained:
        train += _fill(speaker, sentences, options)
    # Each is read once, and a piece of it: by the teachers in turn.
    rng = random.Random(f"{options.seed}/valid")
    for number, text in enumerate(sentences.valid):
        speaker = trained[number % len(trained)]
        valid.append(Reading(f"valid-{number:05d}", (text,), speaker))
        valid.append(Reading(f"valid-piece-{number:05d}", (cut_piece(text, rng),), speaker))
    for number, text in enumerate(sentences.test):
        test.append(Reading(f"test-{number:05d}", (text,), MAIN_SPEAKER))
    if options.held_out in teachers:
        for number, text in enumerate(sentences.test[:MAX_CLONE_READINGS]):
            clone.append(Reading(f"clone-{number:05d}", (text,), str(options.held_out)))

    to_clone = set(sentences.recorded_keys)
    for reading_id, recording in recordings.items():
        reading = Reading(reading_id, (recording.text,), str(options.recorded_speaker))
        key = sentence_key(recording.text)
        if options.held_out == reading.speaker:
            if key in to_clone:  # once, however often it was recorded
                to_clone.remove(key)
                clone.append(reading)
        elif key not in sentences.test_keys:
            (valid if key in sentences.recorded_keys else train).append(reading)
    return {"train": train, "valid": valid, "test": test, "clone": clone}


@dataclass(frozen=True)
class _Sentences:
    """What may be read where.

    Attributes:
        train, valid, test: Sentences of books.
        test_keys: Of those in test.
        recorded_keys: Of those that were recorded and are not trained on.
        held_out_keys: Of all that are not trained on.
    """

    train: list[str]
    valid: list[str]
    test: list[str]
    test_keys: set[str]
    recorded_keys: set[str]
    held_out_keys: set[str]


def _divide(options: EnglishOptions, recordings: Mapping[str, Utterance]) -> _Sentences:
    rng = random.Random(options.seed)
    test = _read_sentences(options.test_texts)
    test_keys = set(map(sentence_key, test))
    recorded = dict.fromkeys(sentence_key(one.text) for one in recordings.values())
    elsewhere = test_keys.union(recorded)
    books = [t for t in _read_sentences(options.texts) if sentence_key(t) not in elsewhere]
    if len(books) <= options.num_valid:
        raise ValueError(
            f"{options.texts} has {len(books)} sentences to train on: {options.num_valid} are to "
            "be held out, so give more"
        )
    rng.shuffle(books)
    valid, train = books[: options.num_valid], books[options.num_valid :]
    keys = [key for key in recorded if key not in test_keys]
    is_clone = options.recorded_speaker is not None and options.recorded_speaker == options.held_out
    count = MAX_CLONE_READINGS if is_clone else len(keys) // RECORDED_PER_VALID
    recorded_keys = set(rng.sample(keys, min(count, len(keys))))
    held_out = test_keys.union(recorded_keys, map(sentence_key, valid))
    return _Sentences(train, valid, test, test_keys, recorded_keys, held_out)


def _fill(speaker: str, sentences: _Sentences, options: EnglishOptions) -> list[Reading]:
    """Readings of as many hours as the speaker is to have, about; all kinds mixed."""
    hours = options.hours if speaker == MAIN_SPEAKER else options.voice_hours
    rng = random.Random(f"{options.seed}/{speaker}")
    sentence_share = 1 - options.word_share - options.piece_share
    kinds = (
        (_words(sentences, rng), options.word_share),
        (_pieces(sentences, rng), options.piece_share),
        (_whole_sentences(sentences, options, rng), sentence_share),
    )
    chosen: list[tuple[str, ...]] = []
    for texts, share in kinds:
        wanted_s = 3600 * hours * share
        while wanted_s > 0:
            chosen.append(parts := next(texts))
            wanted_s -= sum(map(_estimate_s, parts))
    rng.shuffle(chosen)
    return [
        Reading(f"train-{speaker}-{number:05d}", parts, speaker)
        for number, parts in enumerate(chosen)
    ]


def _estimate_s(text: str) -> float:
    """How long the reading of a text will last, about."""
    return LEADING_SILENCE_S + TRAILING_SILENCE_S + len(text) / CHARACTERS_PER_SECOND


def _words(sentences: _Sentences, rng: random.Random) -> Iterator[tuple[str, ...]]:
    """Words of books, the rare as often as the common ones, again and again."""
    words = collect_words(sentences.train)
    while True:
        for word in rng.sample(words, len(words)):
            yield (word,)


def _pieces(sentences: _Sentences, rng: random.Random) -> Iterator[tuple[str, ...]]:
    """Pieces of sentences of books, again and again."""
    for sentence in _shuffled_forever(sentences.train, rng):
        piece = cut_piece(sentence, rng)
        if piece and sentence_key(piece) not in sentences.held_out_keys:
            yield (piece,)


def _whole_sentences(
    sentences: _Sentences, options: EnglishOptions, rng: random.Random
) -> Iterator[tuple[str, ...]]:
    """Sentences of books and made ones, alone or two in a row, again and again."""

    def one_by_one() -> Iterator[str]:
        for sentence in _shuffled_forever(sentences.train, rng):
            while rng.random() < options.made_share:
                if sentence_key(made := make_sentence(rng)) not in sentences.held_out_keys:
                    yield made
            yield sentence

    texts = one_by_one()
    for text in texts:
        if len(text) <= MAX_PROMPT_CHARACTERS and rng.random() < options.joined_share:
            yield (text, next(texts))
        else:
            yield (text,)


def _shuffled_forever(sentences: list[str], rng: random.Random) -> Iterator[str]:
    while True:
        yield from rng.sample(sentences, len(sentences))


def _read_sentences(path: Path) -> list[str]:
    """Sentences that can be read in one go."""
    lines = (" ".join(line.split()) for line in read_texts(path))
    return [line for line in lines if 0 < len(line) <= MAX_CHARACTERS]


def _read_recordings(manifest: Path | None) -> dict[str, Utterance]:
    """Recordings by the ids that their readings have."""
    recordings: dict[str, Utterance] = {}
    for item in read_jsonl([manifest] if manifest else []):
        if isinstance(item, Rejected):
            raise item.to_error()
        recordings[item.id.replace("/", "-")] = item
    return recordings


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value
