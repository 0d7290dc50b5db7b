"""Small corpora of noise with random tokens and vectors, as folders and as Parquet."""

from pathlib import Path

import numpy as np
import soundfile

from sled.data.tokens.pack import write_parquet
from sled.data.tokens.tables import (
    SPEAKER_VECTORS,
    SPEECH_TOKENS,
    UTTERANCE_VECTORS,
    write_table,
)

WIDTH, RATE = 6, 24_000
SPEAKERS = ("anna", "ben")


def name(number: int) -> str:
    return f"utt{number:03d}"


def seconds(number: int) -> float:
    return 1.0 + 0.1 * (7 * number % 11)


def make_folder(folder: Path, count: int = 12, tables: bool = True) -> Path:
    """A Kaldi folder whose utterances have different lengths, with its tables."""
    random = np.random.default_rng(0)
    (folder / "wav").mkdir(parents=True)
    lines: dict[str, list[str]] = {"wav.scp": [], "text": [], "utt2spk": []}
    for number in range(count):
        utt, path = name(number), folder / "wav" / f"{name(number)}.wav"
        samples = 0.1 * random.standard_normal(round(RATE * seconds(number)))
        soundfile.write(path, samples, RATE)
        lines["wav.scp"].append(f"{utt} {path}")
        lines["text"].append(f"{utt} This is utterance  {number}.")
        lines["utt2spk"].append(f"{utt} {SPEAKERS[number % 2]}")
    for file, content in lines.items():
        (folder / file).write_text("\n".join(content) + "\n")
    if tables:
        vectors = {name(number): random.standard_normal(WIDTH) for number in range(count)}
        write_table(folder / UTTERANCE_VECTORS, vectors)
        write_table(folder / SPEAKER_VECTORS, {s: random.standard_normal(WIDTH) for s in SPEAKERS})
        write_table(
            folder / SPEECH_TOKENS,
            {
                name(number): random.integers(6561, size=round(25 * seconds(number)))
                for number in range(count)
            },
        )
    return folder


def make_parquet(folder: Path, count: int = 12, num_utts: int = 3) -> list[Path]:
    """The files of such a corpus in Parquet."""
    source = make_folder(folder / "source", count)
    return write_parquet(source, folder / "parquet", num_utts=num_utts).files
