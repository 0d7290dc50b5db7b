"""Extraction of tokens and speaker vectors from recordings into tables.

The rows of a table are collected in a journal beside it, so an interrupted run goes on where it
stopped. A report tells with what the rows were made, of which recordings, and which failed: those
that failed or have changed are worked on again by the next run.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from sled.codec.features import ANALYSIS_RATE, resample
from sled.codec.speaker.encoder import load_speaker_encoder
from sled.codec.speech_tokens.dual import mix_codebooks
from sled.codec.speech_tokens.files import load_speech_tokenizer
from sled.data.tokens.header import read_header
from sled.data.tokens.journal import (
    Finished,
    journal_line,
    journal_of,
    open_journal,
    read_finished,
    write_report,
)
from sled.data.tokens.tables import LINGUISTIC, MIXED, SEMANTIC, Row, read_tokens, write_table
from sled.files.channels import mix_channels
from sled.files.digest import source_of
from sled.files.progress import Progress
from sled.files.whole import write_whole

logger = logging.getLogger(__name__)

# Recordings that are handed to the threads at a time, for each of them.
_PER_THREAD = 16

Compute = Callable[[Path], Row]
"""Returns the row of a recording."""

Result = Row | str
"""A row, or why there is none."""

Executor = Callable[[Mapping[str, Path]], Iterator[tuple[str, Result]]]
"""Yields the result of each recording, in any order."""


@dataclass
class ExtractionReport:
    """The result of an extraction.

    Attributes:
        rows: The table.
        computed: Rows that this run computed.
        rejected: Why recordings have no row, by name.
    """

    rows: dict[str, Row]
    computed: int = 0
    rejected: dict[str, str] = field(default_factory=dict)


def read_speech(path: Path) -> Tensor:
    """Read a recording as mono [S] at 16 kHz, resampled as the published tools do.

    Raises:
        ValueError: If it is missing, or training could not read it either; see `read_header`.
    """
    if not path.is_file():
        raise ValueError(f"no audio file at {path}")
    read_header(path)  # training would refuse it
    try:
        with path.open("rb") as file:
            samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise ValueError(f"{path} does not decode: {error}") from error
    if not np.isfinite(samples).all():
        raise ValueError(f"{path} holds samples that are not finite")
    return resample(torch.from_numpy(mix_channels(samples.T)), rate, ANALYSIS_RATE)


def load_vectors(encoder: Path, device: str = "cpu") -> Compute:
    """Load a speaker encoder, and return the function that computes the vector of a recording.

    Raises:
        ValueError: If the encoder cannot be used.
    """
    torch.set_num_threads(1)  # recordings are worked on in parallel instead
    model = load_speaker_encoder(encoder, device)

    def compute(path: Path) -> Row:
        vector: Row = model.encode(read_speech(path)).double().numpy()
        if not np.isfinite(vector).all():
            raise ValueError("its speaker vector is not finite")
        return vector

    return compute


def load_tokens(tokenizer: Path, device: str = "cpu") -> Compute:
    """Load a speech tokenizer, and return the function that computes the tokens of a recording.

    Raises:
        ValueError: If the tokenizer cannot be used.
    """
    torch.set_num_threads(1)  # recordings are worked on in parallel instead
    model = load_speech_tokenizer(tokenizer, device)

    def compute(path: Path) -> Row:
        [tokens] = model.encode([read_speech(path)])
        if not len(tokens):
            raise ValueError("it has no speech tokens: it is too short")
        row: Row = tokens.numpy()
        return row

    return compute


def extract(
    recordings: Mapping[str, Path],
    execute: Executor,
    output: Path,
    made_with: str,
    *,
    skip_bad: bool = True,
) -> ExtractionReport:
    """Compute a row for each recording, and write the table.

    Args:
        recordings: Audio files by name.
        execute: Computes rows, see `on_threads`.
        output: The table, a file `.pt`. Beside it are a journal while the work is not complete,
            and a report as JSON.
        made_with: What computes, such as a digest of the model. Rows of an earlier run are kept if
            it was made with the same, and the size and time of the recording are the same.
        skip_bad: Whether recordings that fail are left out. Otherwise they are an error.

    Raises:
        ValueError: If a recording fails and `skip_bad` is false, all fail, or the table was made
            with something else.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    sources = {name: source_of(path) for name, path in recordings.items() if path.is_file()}
    finished = read_finished(output, made_with, sources)
    if changed := finished.drop_changed(sources):
        logger.warning("%d recordings have another size or time than before: again", changed)
    report = ExtractionReport({})
    todo = {name: path for name, path in recordings.items() if name not in finished.rows}
    done = len(recordings) - len(todo)
    with (
        open_journal(output, made_with, finished) as journal,
        Progress("extracting", len(recordings), "recording", done) as progress,
    ):
        for name, result in execute(todo) if todo else ():
            progress.advance()
            if isinstance(result, str):
                if not skip_bad:
                    raise ValueError(
                        f"{name}: {result}: repair or remove it, or leave bad recordings out with "
                        "--on_bad skip"
                    )
                report.rejected[name] = result
            else:
                source = sources.get(name, "")
                finished.add(name, result, source)
                report.computed += 1
                journal.write(journal_line(name, result, source))
    report.rows = {name: finished.rows[name] for name in recordings if name in finished.rows}
    if not report.rows:
        name, reason = next(iter(report.rejected.items()), ("", "there are no recordings"))
        raise ValueError(f"none of {len(recordings)} recordings can be used: {name} {reason}")
    write_report(output, _describe(made_with, report, finished))
    if not finished.is_stored:
        write_table(output, report.rows)
    journal_of(output).unlink(missing_ok=True)
    return report


def _describe(made_with: str, report: ExtractionReport, finished: Finished) -> dict[str, object]:
    lengths = [len(row) for row in report.rows.values()]
    return {
        "made_with": made_with,
        "recordings": len(report.rows),
        "numbers": {"total": sum(lengths), "fewest": min(lengths), "most": max(lengths)},
        "rejected": report.rejected,
        "sources": finished.sources,
    }


def speaker_means(vectors: Mapping[str, Row], speakers: Mapping[str, str]) -> dict[str, Row]:
    """Return the mean vector of each speaker, of vectors as they were extracted.

    Args:
        vectors: Vectors by utterance.
        speakers: Speakers by utterance.

    Raises:
        ValueError: If an utterance has no speaker.
    """
    of_speaker: dict[str, list[Row]] = {}
    for name, vector in vectors.items():
        if name not in speakers:
            raise ValueError(f"utt2spk has no line for {name}: add it")
        of_speaker.setdefault(speakers[name], []).append(vector)
    return {
        speaker: np.mean(np.asarray(own, np.float32), 0).astype(np.float64)
        for speaker, own in of_speaker.items()
    }


def add_linguistic(output: Path, semantic: Mapping[str, Row], linguistic: Path) -> None:
    """Write the table of Step-Audio: for each name the tokens of both codebooks, and mixed.

    Args:
        output: The table to write.
        semantic: Tokens of the semantic codebook.
        linguistic: Table of tokens of the linguistic codebook.

    Raises:
        ValueError: If an utterance is in one table only, or tokens are out of range.
    """
    other = read_tokens(linguistic)
    table = {}
    for name, row in semantic.items():
        if name not in other:
            raise ValueError(f"{linguistic} has no tokens of {name}: extract them first")
        first, second = torch.from_numpy(other[name]), torch.from_numpy(row)
        try:
            mixed = mix_codebooks(first, second)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        lists = {MIXED: mixed.tolist(), LINGUISTIC: first.tolist(), SEMANTIC: second.tolist()}
        table[name] = lists
    write_whole(output, partial(torch.save, table))


def digest_files(files: Iterable[Path]) -> str:
    """Return the SHA-256 of the contents of files.

    Raises:
        ValueError: If one is missing.
    """
    digest = hashlib.sha256()
    for file in files:
        if not file.is_file():
            raise ValueError(f"no file at {file}: check the path")
        with file.open("rb") as content:
            while block := content.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def attempt(compute: Compute, name: str, path: Path) -> tuple[str, Result]:
    """Compute the row of a recording; a failure is returned as its reason."""
    try:
        return name, compute(path)
    except Exception as error:  # those of ONNX Runtime have no common base
        return name, str(error).partition("\n")[0] or type(error).__name__


def on_threads(compute: Compute, num_threads: int = 1) -> Executor:
    """Make an executor that computes in threads of this process, in order.

    Raises:
        ValueError: For no threads.
    """
    if num_threads < 1:
        raise ValueError(f"{num_threads} threads can compute nothing: give 1 or more")

    def execute(todo: Mapping[str, Path]) -> Iterator[tuple[str, Result]]:
        items = iter(todo.items())
        with ThreadPoolExecutor(num_threads) as pool:
            while block := list(islice(items, _PER_THREAD * num_threads)):
                yield from pool.map(lambda item: attempt(compute, *item), block)

    return execute
