"""Alignment of whole corpora: train on a part of the first corpus, then align all of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from lhotse import CutSet
from lhotse.cut import Cut
from torch import Tensor

from sled.data.alignment.corpus import Corpus
from sled.data.alignment.features import FRAME_S, batches_by_length, pad
from sled.data.alignment.network import CtcNetwork
from sled.data.alignment.spelling import BLANK, WORD_END, Alphabet, letters
from sled.data.alignment.spoken_times import with_letters, with_words, without_times
from sled.data.alignment.trained import TrainedAligner
from sled.data.alignment.training import Example, TrainingOptions, train_network
from sled.data.alignment.viterbi import CtcPath, best_paths
from sled.data.manifests import check_manifest_writable, save_cuts, with_relative_audio
from sled.files.audio import check_folder

OnBad = Literal["stop", "skip"]

# Clips that are sorted by length together, and frames per batch of the network.
_CLIPS_AHEAD = 128
_BATCH_FRAMES = 8000
# Training clips from which the usual scores are computed.
_NUM_JUDGED = 1000
# A cut is doubtful if its score is more than _FAR median absolute deviations below the median. The
# deviation is taken to be at least _MIN_SPREAD.
_FAR, _MIN_SPREAD = 10.0, 0.01


@dataclass
class AlignmentReport:
    """Result of the alignment of one corpus.

    Attributes:
        num_cuts: Number of cuts.
        unusable: Why cuts have no text or no usable audio, by their ids.
        too_short: Ids of cuts that have too few frames for their text.
        doubtful: Ids of cuts whose audio does not seem to match their text.
        median_score: Median over training cuts of the mean log-probability of a frame on the path.
        min_score: Cuts with a lower score are doubtful.
        speech_s: Duration of all cuts.
        training_s: Time for reading and training; 0 for all corpora but the first.
        elapsed_s: Total time, training included.
    """

    num_cuts: int = 0
    unusable: dict[str, str] = field(default_factory=dict)
    too_short: list[str] = field(default_factory=list)
    doubtful: list[str] = field(default_factory=list)
    median_score: float = 0.0
    min_score: float = 0.0
    speech_s: float = 0.0
    training_s: float = 0.0
    elapsed_s: float = 0.0

    @property
    def num_aligned(self) -> int:
        """Number of cuts that were aligned."""
        left_out = len(self.unusable) + len(self.too_short) + len(self.doubtful)
        return self.num_cuts - left_out

    def __str__(self) -> str:
        return (
            f"{self.num_aligned} of {self.num_cuts} cuts, {self.speech_s / 3600:.2f} h of speech "
            f"in {self.elapsed_s:.0f} s, {self.training_s:.0f} s of it training; score per frame "
            f"{self.median_score:.3f} in the median, {self.min_score:.3f} at least"
        )


def align_corpora(
    manifests: Sequence[CutSet],
    outputs: Sequence[Path],
    *,
    text_normalization: str | None = None,
    options: TrainingOptions | None = None,
    device: str = "cpu",
    num_workers: int = 0,
    network_file: Path | None = None,
    trained: TrainedAligner | None = None,
    on_bad: OnBad = "skip",
) -> list[AlignmentReport]:
    """Write manifests of the same cuts with the times of their words and letters.

    Cuts that cannot be aligned are kept without times.

    Args:
        manifests: The corpora, from `load_cuts`. A network is trained on the first, and on the
            next ones while there is less speech than `options.train_hours`. A corpus to train on is
            read three times, others are read twice.
        outputs: The manifest to write for each; its folder exists.
        text_normalization: Normalisation of texts, see `sled.normalization`.
        options: How the network is trained.
        device: Device of the network.
        num_workers: Processes that read audio ahead. 0: none.
        network_file: Where the network is also written, see `TrainedAligner`. None: not.
        trained: A network that was trained before, in the place of training one.
        on_bad: What to do about a cut without text or usable audio: keep it without times, or
            "stop" with an error.

    Returns:
        A report for each corpus.

    Raises:
        ValueError: If the numbers of outputs and corpora differ, an output cannot be written, a cut
            is a mixture, or has no text or no usable audio and `on_bad` is "stop", no cut of a
            corpus can be aligned, or the network that was trained before does not know the letters
            of the texts.
    """
    if len(set(outputs)) != len(manifests):
        names = ", ".join(map(str, outputs))
        raise ValueError(f"{len(manifests)} manifests, but outputs {names}: name one for each")
    inputs = {Path(cuts.data.path).resolve() for cuts in manifests if hasattr(cuts.data, "path")}
    for output in outputs:
        if output.resolve() in inputs:
            raise ValueError(f"{output} is also read: name another file for the aligned cuts")
        check_manifest_writable(output)
    if network_file is not None:
        check_folder(network_file)
    options, start = options or TrainingOptions(), time.perf_counter()
    corpora = [
        Corpus(cuts, text_normalization, device, num_workers, on_bad == "stop")
        for cuts in manifests
    ]
    aligner = trained
    if aligner is not None:
        _check_fits(aligner, corpora, text_normalization)
    alphabet = aligner.alphabet if aligner is not None else _alphabet(corpora, text_normalization)
    examples = _draw(corpora, options, alphabet)
    if aligner is None:
        network = train_network(examples, len(alphabet), options, device)
        aligner = TrainedAligner(network, alphabet, text_normalization)
    if network_file is not None:
        aligner.save(network_file)
    network = aligner.network
    median_score, min_score = _usual_scores(network, examples, corpora[0].name)
    num_examples = len(examples)
    del examples
    reports = [AlignmentReport(median_score=median_score, min_score=min_score) for _ in corpora]
    reports[0].training_s = time.perf_counter() - start
    for corpus, output, report in zip(corpora, outputs, reports, strict=True):
        aligned = _align(corpus, network, alphabet, report)
        checked = _unless_none(aligned, report, corpus.name, num_examples)
        save_cuts(CutSet(with_relative_audio(cut, output.parent) for cut in checked), output)
        report.elapsed_s = time.perf_counter() - start
        start = time.perf_counter()
    return reports


def _alphabet(corpora: Sequence[Corpus], text_normalization: str | None) -> Alphabet:
    """The letters of corpora.

    Texts that are not normalised are case-folded. A normalisation decides about case itself: in
    phonemes, `A` and `a` may be different sounds.
    """
    found = set().union(*(corpus.letters for corpus in corpora))
    return Alphabet.of(found, fold_case=text_normalization is None)


def _check_fits(
    aligner: TrainedAligner, corpora: Sequence[Corpus], text_normalization: str | None
) -> None:
    """Raise ValueError if a network was trained on other texts."""
    if aligner.text_normalization != text_normalization:
        raise ValueError(
            f"the network was trained on texts with --text_normalization "
            f"{aligner.text_normalization}, not {text_normalization}: give the same"
        )
    wanted = Alphabet.of(
        set().union(*(corpus.letters for corpus in corpora)), fold_case=aligner.alphabet.fold_case
    )
    if unknown := sorted(set(wanted.letters).difference(aligner.alphabet.letters)):
        raise ValueError(
            f"the network was trained on texts without {' '.join(unknown[:10])}: train one on "
            "these texts, without --trained"
        )


def _draw(corpora: Sequence[Corpus], options: TrainingOptions, alphabet: Alphabet) -> list[Example]:
    """Training examples from the first corpus; from the next ones if it has too little speech.

    A network learns a few recordings by heart, and then no others sound like their text to it.
    """
    examples: list[Example] = []
    missing_s = options.train_hours * 3600
    for corpus in corpora:
        examples += corpus.draw(missing_s, options, alphabet)
        missing_s -= corpus.speech_s
        if missing_s <= 0:
            break
    if not examples:
        if reason := next((why for one in corpora for why in one.unusable.values()), None):
            raise ValueError(f"{corpora[0].name}: no cut can be trained on: {reason}")
        raise ValueError(f"--train_hours {options.train_hours:g} selects no cut: give more")
    return examples


def _unless_none(
    cuts: Iterator[Cut], report: AlignmentReport, name: str, num_examples: int
) -> Iterator[Cut]:
    """Pass cuts on; raise ValueError after the last one if none of them could be aligned."""
    yield from cuts
    if not report.num_aligned:
        raise ValueError(_why_none(name, report, num_examples))


def _why_none(name: str, report: AlignmentReport, num_examples: int) -> str:
    """The error for a corpus of which no cut can be aligned, with its likely cause."""
    short, doubtful = len(report.too_short), len(report.doubtful)
    none = f"{name}: none of its {report.num_cuts} cuts can be aligned"
    if not short + doubtful:
        return f"{none}, such as {next(iter(report.unusable.values()))}: repair them"
    cause = (
        "the texts do not belong to these recordings, since they are longer than what is said"
        if short > doubtful
        else "their texts belong to other recordings, or they sound unlike the "
        f"{num_examples} recordings that the network was trained on"
    )
    unusable = f", {len(report.unusable)} without text or audio" if report.unusable else ""
    return (
        f"{none} ({short} too short for their text, {doubtful} that do not sound like it"
        f"{unusable}). Most likely {cause}. Align it in a run of its own, or train without times "
        "of words"
    )


@torch.inference_mode()
def find_paths(
    network: CtcNetwork, clips: Sequence[Tensor], texts: Sequence[Sequence[int]]
) -> list[CtcPath | None]:
    """Best path of each text through its clip. None: the clip has too few frames.

    Args:
        network: The network in evaluation mode.
        clips: Features [T, F].
        texts: Symbols of each text.
    """
    paths: list[CtcPath | None] = [None] * len(clips)
    for batch in batches_by_length([len(clip) for clip in clips], _BATCH_FRAMES):
        features, lengths = pad([clips[index] for index in batch], str(network.mean.device))
        log_probs = network(network.normalize(features), lengths).cpu().numpy()
        found = best_paths(log_probs, lengths.tolist(), [texts[index] for index in batch], BLANK)
        for index, path in zip(batch, found, strict=True):
            paths[index] = path
    return paths


def word_times(path: CtcPath, symbols: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """End of each word in seconds, and its mean log-probability per frame."""
    ends = 2 * np.flatnonzero(np.array(symbols) == WORD_END) + 1  # states, one for each word
    word_of_frame = np.searchsorted(ends, path.states)  # frames after the last word: len(ends)
    words = range(len(ends))
    seconds = [np.flatnonzero(path.states == end).mean() * FRAME_S + FRAME_S / 2 for end in ends]
    scores = [path.scores[word_of_frame == word].mean() for word in words]
    return np.array(seconds), np.array(scores)


def letter_times(path: CtcPath, symbols: Sequence[int], word_ends: np.ndarray) -> np.ndarray:
    """End of each letter in seconds: halfway to the next letter, or the end of its word.

    Halfway, because a CTC network emits each letter in few frames and the blank in between.
    """
    is_end = np.array(symbols) == WORD_END
    states = 2 * np.arange(len(symbols)) + 1
    first = np.searchsorted(path.states, states)  # frame of each symbol
    behind = np.searchsorted(path.states, states, side="right")  # the frame after its last
    halfway = (behind[:-1] + first[1:]) / 2 * FRAME_S
    word = np.cumsum(is_end)  # the last symbol is the end of a word, and no letter
    ends: np.ndarray = np.where(is_end[1:], word_ends[word[:-1]], halfway)
    of_letters: np.ndarray = ends[~is_end[:-1]]
    return of_letters


def _usual_scores(
    network: CtcNetwork, examples: Sequence[Example], name: str
) -> tuple[float, float]:
    """Median score per frame of training cuts, and the score below which a cut is doubtful."""
    judged = examples[:: -(-len(examples) // _NUM_JUDGED)]
    paths = find_paths(network, [one.features for one in judged], [one.symbols for one in judged])
    scores = np.array([path.scores.mean() for path in paths if path is not None])
    if not len(scores):
        raise ValueError(
            f"{name}: no cut is long enough for its text: do the texts belong to these recordings?"
        )
    median = float(np.median(scores))
    spread = max(float(np.median(np.abs(scores - median))), _MIN_SPREAD)
    return median, median - _FAR * spread


def _align(
    corpus: Corpus, network: CtcNetwork, alphabet: Alphabet, report: AlignmentReport
) -> Iterator[Cut]:
    """Yield all cuts in order, with times where they can be aligned, and fill in the report."""
    clips = corpus.read(corpus.cuts, "align", corpus.num_cuts)
    report.unusable = corpus.unusable
    while group := list(islice(clips, _CLIPS_AHEAD)):
        usable = [(cut, features) for cut, features in group if features is not None]
        texts = [corpus.words(cut) for cut, _ in usable]
        encoded = list(map(alphabet.encode, texts))
        paths = find_paths(network, [features for _, features in usable], encoded)
        found = zip(texts, encoded, paths, strict=True)
        for cut, features in group:
            report.num_cuts += 1
            report.speech_s += cut.duration
            cut = without_times(cut)
            if features is None:
                yield cut
                continue
            words, symbols, path = next(found)
            if path is None:
                report.too_short.append(cut.id)
            elif path.scores.mean() < report.min_score:
                report.doubtful.append(cut.id)
            else:
                ends, scores = word_times(path, symbols)
                ends = np.minimum(ends, cut.duration)  # the last frame may end after the cut
                cut = with_words(cut, words, ends.tolist(), scores.tolist())
                spelling = [letter for word in words for letter in letters(word)]
                cut = with_letters(cut, spelling, letter_times(path, symbols, ends).tolist())
            yield cut
