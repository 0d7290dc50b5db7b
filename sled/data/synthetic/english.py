"""An English corpus: sentences of books and generated ones, read by teachers, and recordings.

Splits, as cut manifests with the names of speakers:

    train   the training data
    valid   the same speakers, other sentences
    test    sentences for evaluation, read by the main teacher
    clone   a speaker from no other split, with sentences that are not in train

Invariants: the same options give the same texts; a sentence of valid, test or clone is not in
train, under any speaker, however often and with whatever signs the texts have it; manifests have
the written texts, and teachers read them as `verbalize` spells them. Single words and pieces of
sentences are read too: short readings are easiest to learn the relation of text and speech from.
Some readings are joined of two, with a pause between them: they teach a model to continue after a
prompt.
"""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from sled.data.corpora.items import Utterance
from sled.data.corpora.splits import sentence_key
from sled.data.manifests import read_texts
from sled.data.synthetic.made_sentences import make_sentence
from sled.data.synthetic.pieces import collect_words, cut_piece
from sled.data.synthetic.readings import (
    CONTENTS,
    Reading,
    is_complete,
    start_corpus,
    synthesize_readings,
)
from sled.data.synthetic.recordings import part_of, read_recordings
from sled.data.synthetic.teachers import (
    CLIP_LEVEL,
    Teacher,
    read_aloud,
    tidy,
)
from sled.files.digest import digest_files
from sled.normalization.english import verbalize

logger = logging.getLogger(__name__)

SPLITS = ("train", "valid", "test", "clone")
MAIN_SPEAKER = "heart"

# For estimates of durations, which are up to 10 % off.
CHARACTERS_PER_SECOND = 18
MAX_CHARACTERS = 220
# Longest text of the first of two joined readings, the length of a prompt.
MAX_PROMPT_CHARACTERS = 80
# One in this many recorded sentences is held out.
RECORDED_PER_VALID = 50
MAX_CLONE_READINGS = 100


@dataclass(frozen=True, kw_only=True)
class EnglishOptions:
    """Composition of the corpus.

    Attributes:
        texts: Training sentences, one per line.
        test_texts: Test sentences, one per line.
        hours: Approximate hours read by the main teacher.
        voices: Names of other teachers.
        voice_hours: Approximate hours read by each of them.
        recordings: Recordings of one more speaker, named after the folder: JSON lines of
            `audio` and `text`. None: no recordings.
        held_out: The speaker of the split clone. None: no such split.
        word_share: Share of the main teacher's hours that are single words: the others have none.
        piece_share: Share of training hours that are pieces of sentences.
        made_share: Share of sentences that are generated.
        joined_share: Share of readings starting with a short sentence that are joined.
        num_valid: Number of sentences of the split valid, which has as many pieces of them.
        seed: Seed of all random choices.
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
        """Raise ValueError for options that contradict each other."""
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
        """Name of the recorded speaker. None: there are no recordings."""
        return None if self.recordings is None else self.recordings.absolute().parent.name

    @property
    def speakers(self) -> list[str]:
        """Names of all speakers, the main teacher first."""
        recorded = self.recorded_speaker
        return [MAIN_SPEAKER, *self.voices, *([recorded] if recorded else [])]

    def settings(self) -> dict[str, object]:
        """All options, ready for JSON."""
        return {key: _plain(value) for key, value in asdict(self).items()}


def prepare_english(
    output_dir: Path, options: EnglishOptions, teachers: Callable[[str], Teacher]
) -> dict[str, Path]:
    """Make the corpus: 24 kHz FLAC files and one cut manifest per split.

    An interrupted run continues where it stopped, unless texts or recordings have changed since.

    Args:
        output_dir: Folder of `audio/` and `cuts_<split>.jsonl.gz`.
        options: Composition of the corpus.
        teachers: Loads the teacher of a name, when it is first needed.

    Returns:
        The manifest of each split.

    Raises:
        ValueError: If the folder holds a corpus made with other options, or of other texts or
            recordings, texts or recordings cannot be read, or there is no such teacher.
    """
    splits = [split for split in SPLITS if split != "clone" or options.held_out]
    manifests = {split: output_dir / f"cuts_{split}.jsonl.gz" for split in splits}
    inputs = [options.texts, options.test_texts, options.recordings]
    are_there = all(path is None or path.exists() for path in inputs)
    # A corpus that is complete does not need them.
    if not are_there and is_complete(output_dir, options.settings(), manifests.values()):
        return manifests
    recordings = read_recordings(options.recordings)
    settings = {**options.settings(), CONTENTS: _digest_contents(options, recordings)}
    if is_complete(output_dir, settings, manifests.values()):
        logger.info("%s is complete, nothing to do", output_dir)
        return manifests
    readings = draw_readings(options, recordings)
    teacher = cache(teachers)

    def speak(reading: Reading) -> np.ndarray:
        if reading.id in recordings:
            return tidy(part_of(recordings[reading.id]))
        parts = [verbalize(part) for part in reading.parts]
        return read_aloud(parts, teacher(reading.speaker), reading.seed(options.seed))

    for name in (MAIN_SPEAKER, *options.voices):
        teacher(name)  # fail early if there is none
    start_corpus(output_dir, settings)
    for split, manifest in manifests.items():
        synthesize_readings(readings[split], speak, output_dir, manifest)
    return manifests


def draw_readings(
    options: EnglishOptions, recordings: Mapping[str, Utterance]
) -> dict[str, list[Reading]]:
    """Draw the readings of each split."""
    sentences = _divide(options, recordings)
    teachers = [MAIN_SPEAKER, *options.voices]
    trained = [name for name in teachers if name != options.held_out]
    train, valid, test, clone = (list[Reading]() for _ in SPLITS)
    for speaker in trained:
        train += _fill(speaker, sentences, options)
    # Each sentence and a piece of it are read once, by the teachers in turn.
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
            if key in to_clone:  # use one of several recordings of a sentence
                to_clone.remove(key)
                clone.append(reading)
        elif key not in sentences.test_keys:
            (valid if key in sentences.recorded_keys else train).append(reading)
    return {"train": train, "valid": valid, "test": test, "clone": clone}


@dataclass(frozen=True)
class _Sentences:
    """The sentences of each split.

    Attributes:
        train: Sentences of books in train.
        valid: Sentences of books in valid.
        test: Sentences in test.
        test_keys: Keys of the sentences in test.
        recorded_keys: Keys of the recorded sentences that are held out.
        held_out_keys: Keys of all held-out sentences.
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
    rng.shuffle(books)
    valid = _first_sentences(books, options.num_valid)
    train = [text for text in books if sentence_key(text) not in valid]
    if not train:
        raise ValueError(
            f"{options.texts} has {len(valid)} sentences to train on: {options.num_valid} are to "
            "be held out, so give more"
        )
    keys = [key for key in recorded if key not in test_keys]
    is_clone = options.recorded_speaker is not None and options.recorded_speaker == options.held_out
    count = MAX_CLONE_READINGS if is_clone else len(keys) // RECORDED_PER_VALID
    recorded_keys = set(rng.sample(keys, min(count, len(keys))))
    held_out = test_keys.union(recorded_keys, valid)
    return _Sentences(train, list(valid.values()), test, test_keys, recorded_keys, held_out)


def _first_sentences(texts: Iterable[str], count: int) -> dict[str, str]:
    """The first texts that are different sentences, by their keys."""
    found: dict[str, str] = {}
    for text in texts:
        if len(found) < count:
            found.setdefault(sentence_key(text), text)
    return found


def _fill(speaker: str, sentences: _Sentences, options: EnglishOptions) -> list[Reading]:
    """Readings of about as many hours as the speaker is to have, all kinds mixed."""
    hours = options.hours if speaker == MAIN_SPEAKER else options.voice_hours
    rng = random.Random(f"{options.seed}/{speaker}")
    # Whom the model hears too little of for the first word is not learned from words.
    word_share = options.word_share if speaker == MAIN_SPEAKER else 0.0
    sentence_share = 1 - word_share - options.piece_share
    kinds = (
        (_words(sentences, rng), word_share),
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
    """Estimated duration of the reading of a text."""
    return CLIP_LEVEL.lead_s + CLIP_LEVEL.tail_s + len(text) / CHARACTERS_PER_SECOND


def _words(sentences: _Sentences, rng: random.Random) -> Iterator[tuple[str, ...]]:
    """Yield the words of books endlessly; rare words are as frequent as common ones."""
    words = [
        word
        for word in collect_words(sentences.train)
        if sentence_key(word) not in sentences.held_out_keys
    ]
    if not words:
        raise ValueError("there are no words in the texts to train on: use --word_share 0")
    while True:
        for word in rng.sample(words, len(words)):
            yield (word,)


def _pieces(sentences: _Sentences, rng: random.Random) -> Iterator[tuple[str, ...]]:
    """Yield pieces of sentences of books endlessly."""
    for sentence in _shuffled_forever(sentences.train, rng):
        piece = cut_piece(sentence, rng)
        if piece and sentence_key(piece) not in sentences.held_out_keys:
            yield (piece,)


def _whole_sentences(
    sentences: _Sentences, options: EnglishOptions, rng: random.Random
) -> Iterator[tuple[str, ...]]:
    """Yield sentences of books and generated ones endlessly, single or two in sequence."""

    def one_by_one() -> Iterator[str]:
        for sentence in _shuffled_forever(sentences.train, rng):
            while rng.random() < options.made_share:
                if sentence_key(made := make_sentence(rng)) not in sentences.held_out_keys:
                    yield made
            yield sentence

    texts = one_by_one()
    for text in texts:
        parts: tuple[str, ...] = (text,)
        if len(text) <= MAX_PROMPT_CHARACTERS and rng.random() < options.joined_share:
            parts = (text, next(texts))
        # Two may be a held-out sentence together.
        if sentence_key(" ".join(parts)) not in sentences.held_out_keys:
            yield parts


def _shuffled_forever(sentences: list[str], rng: random.Random) -> Iterator[str]:
    while True:
        yield from rng.sample(sentences, len(sentences))


def _read_sentences(path: Path) -> list[str]:
    """Sentences short enough to be read at once."""
    lines = (" ".join(line.split()) for line in read_texts(path))
    return [line for line in lines if 0 < len(line) <= MAX_CHARACTERS]


def _digest_contents(
    options: EnglishOptions, recordings: Mapping[str, Utterance]
) -> dict[str, str]:
    """Digests of what the files hold that options name."""
    contents = {"texts": digest_files([options.texts])}
    contents["test_texts"] = digest_files([options.test_texts])
    if options.recordings is not None:
        audio = dict.fromkeys(one.audio for one in recordings.values())
        # Sizes: there may be hours of audio, and times change when files are copied.
        sizes = [path.stat().st_size if path.is_file() else 0 for path in audio]
        manifest = digest_files([options.recordings])
        contents["recordings"] = hashlib.sha256(f"{manifest} {sizes}".encode()).hexdigest()
    return contents


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value
