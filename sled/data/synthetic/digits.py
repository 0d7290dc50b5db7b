"""The digits corpus: strings of one to eight digits, spoken by the open hibari-tts teacher.

Invariants: the same sizes and seed give the same strings and audio; no string of two or more digits
is in two splits (the ten single digits are in all of them); held-out strings are spread evenly over
lengths, as far as there are strings of a length.

Besides single readings, training has joined ones, two readings with a pause between them. They
teach what voice cloning needs: continuing after a prompt that is complete.
"""

import logging
import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from sled.data.synthetic.readings import Reading, is_complete, start_corpus, synthesize_readings
from sled.data.synthetic.teachers import Teacher, load_hibari, read_aloud

logger = logging.getLogger(__name__)

DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MAX_DIGITS = 8

# Single digits are the hardest to speak intelligibly and the cheapest to train on.
TRAIN_LENGTH_WEIGHTS = (3, 3, 3, 2, 2, 2, 2, 2)

# Digits of the first of two joined readings: one to two seconds, the shortest useful prompt.
JOINED_FIRST_LENGTHS = (3, 4, 5)

SPEAKER = "hibari-heart"


def to_words(number: int, length: int) -> str:
    """Digit words of a number with leading zeros: 42 at length 3 is "zero four two"."""
    return " ".join(DIGIT_WORDS[int(digit)] for digit in f"{number:0{length}d}")


def draw_strings(sizes: Mapping[str, int], seed: int) -> dict[str, list[str]]:
    """Draw the digit strings of each split.

    Args:
        sizes: Number of strings per split. `train` follows TRAIN_LENGTH_WEIGHTS and repeats strings
            where a length has too few; every other split is held out and has no repeats.
        seed: Decides the strings and their order.
    """
    rng = random.Random(seed)
    held_out = {
        split: _spread_evenly(size, [_held_out_limit(n) for n in range(1, MAX_DIGITS + 1)])
        for split, size in sizes.items()
        if split != "train"
    }
    train_counts = _share_by_weight(sizes["train"], TRAIN_LENGTH_WEIGHTS)
    strings: dict[str, list[str]] = {split: [] for split in sizes}
    for length, train_count in enumerate(train_counts, start=1):
        num_held_out = sum(counts[length - 1] for counts in held_out.values())
        num_drawn = min(10**length, num_held_out + max(train_count, 1))
        pool = rng.sample(range(10**length), num_drawn)
        taken = 0
        for split, counts in held_out.items():
            count = counts[length - 1]
            chosen = rng.sample(pool, count) if length == 1 else pool[taken : taken + count]
            strings[split] += [to_words(number, length) for number in chosen]
            taken += count
        rest = range(10) if length == 1 else pool[taken:]
        strings["train"] += [to_words(n, length) for n in islice(cycle(rest), train_count)]
    for split in strings:
        rng.shuffle(strings[split])  # so that the start of a split is a fair sample of it
    return strings


def draw_joined(
    strings: Mapping[str, Sequence[str]], count: int, seed: int
) -> list[tuple[str, str]]:
    """Draw pairs of training strings that are read in sequence.

    The first is long enough to be a prompt, and no pair spells a held-out string.

    Args:
        strings: Strings of each split, from `draw_strings`.
        count: Number of pairs.
        seed: Decides the pairs.
    """
    rng = random.Random(f"{seed}/joined")
    held_out = {text for split, texts in strings.items() if split != "train" for text in texts}
    firsts = [text for text in strings["train"] if len(text.split()) in JOINED_FIRST_LENGTHS]
    if count and not firsts:
        raise ValueError(
            f"none of {len(strings['train'])} training strings is long enough to open a joined "
            "reading: ask for more training utterances, or for no joined ones"
        )
    pairs: list[tuple[str, str]] = []
    while len(pairs) < count:
        pair = rng.choice(firsts), rng.choice(strings["train"])
        if " ".join(pair) not in held_out:
            pairs.append(pair)
    return pairs


def _held_out_limit(length: int) -> int:
    """Most strings of a length that one held-out split may take; training keeps at least half."""
    return 10 if length == 1 else 10**length // 4


def _spread_evenly(total: int, limits: list[int]) -> list[int]:
    """Parts of a total, as even as the (ascending) limits allow."""
    parts: list[int] = []
    for index, limit in enumerate(limits):
        parts.append(min(limit, (total - sum(parts)) // (len(limits) - index)))
    return parts


def _share_by_weight(total: int, weights: Iterable[int]) -> list[int]:
    """Integer parts of a total in proportion to the weights, which sum to the total."""
    edges = np.cumsum([0, *weights])
    parts: list[int] = np.diff(np.round(edges * total / edges[-1]).astype(int)).tolist()
    return parts


def load_teacher() -> Teacher:
    """The hibari-tts voice, which reads a digit string as a list, so that every digit is clear."""
    voice = load_hibari()

    def read(text: str, seed: int) -> np.ndarray:
        # Without commas the digits run together and lose a tenth of a second each.
        return voice(text.replace(" ", ", ").capitalize() + ".", seed)

    return read


def prepare_digits(
    output_dir: Path,
    *,
    train: int = 3600,
    joined: int = 1800,
    valid: int = 60,
    test: int = 100,
    seed: int = 0,
    teacher: Teacher | None = None,
) -> dict[str, Path]:
    """Make the corpus: 24 kHz FLAC files and one cut manifest per split.

    An interrupted run continues where it stopped: audio files appear only when complete and are
        kept,
    manifests are written last.

    Args:
        output_dir: Folder of `audio/` and `cuts_{train,valid,test}.jsonl.gz`.
        train: Number of single readings to train on.
        joined: Number of joined readings to train on, after the single ones.
        valid: Number of readings of the split valid.
        test: Number of readings of the split test.
        seed: Decides strings and audio.
        teacher: The voice that reads. None: the hibari-tts voice.

    Returns:
        The manifest of each split.

    Raises:
        ValueError: If a split would be empty, the folder holds a corpus made with other settings,
            or no teacher is installed.
    """
    sizes = {"train": train, "valid": valid, "test": test}
    for split, size in sizes.items():
        if size < 1:
            raise ValueError(f"{split} needs at least one utterance, got {size}")
    if joined < 0:
        raise ValueError(f"joined={joined} is below 0: use 0 for none")
    manifests = {split: output_dir / f"cuts_{split}.jsonl.gz" for split in sizes}
    settings = {**sizes, "joined": joined, "seed": seed}
    if is_complete(output_dir, settings, manifests.values()):
        logger.info("%s is complete, nothing to do", output_dir)
        return manifests

    strings = draw_strings(sizes, seed)
    parts: dict[str, list[tuple[str, ...]]] = {
        split: [(text,) for text in texts] for split, texts in strings.items()
    }
    parts["train"] += draw_joined(strings, joined, seed)

    voice = teacher or load_teacher()

    def speak(reading: Reading) -> np.ndarray:
        return read_aloud(reading.parts, voice, reading.seed(seed))

    start_corpus(output_dir, settings)
    for split, clips in parts.items():
        readings = [
            Reading(f"{split}-{index:05d}", clip, SPEAKER) for index, clip in enumerate(clips)
        ]
        synthesize_readings(readings, speak, output_dir, manifests[split])
    return manifests
