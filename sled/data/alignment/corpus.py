"""A corpus as input of the aligner: features of the audio and words of the texts."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from torch import Tensor

from sled.data.alignment.features import SAMPLE_RATE, Features
from sled.data.alignment.spelling import Alphabet, cut_words, letters
from sled.data.alignment.training import Example, TrainingOptions
from sled.data.cache.clips import read_clips
from sled.data.manifests import manifest_name
from sled.files.progress import track


class Corpus:
    """Cuts with their features and words; they can be read any number of times.

    Args:
        cuts: The cuts of a manifest.
        text_normalization: Normalisation of texts, see `sled.normalization`.
        device: Device on which features are computed.
        num_workers: Processes that read audio ahead. 0: none.
        stop_at_bad: Whether a cut without text or usable audio is an error.

    Attributes:
        num_cuts: Number of cuts.
        speech_s: Duration of the cuts in seconds.
        letters: Letters that occur in the texts.
        unusable: Why cuts cannot be used, by their ids, as far as they have been read.

    Raises:
        ValueError: If a cut is a mixture, or has no text and `stop_at_bad` is true; the error names
            it.
    """

    def __init__(
        self,
        cuts: CutSet,
        text_normalization: str | None,
        device: str,
        num_workers: int,
        stop_at_bad: bool,
    ) -> None:
        self.cuts, self.text_normalization = cuts, text_normalization
        self.features, self.num_workers = Features(device), num_workers
        self.stop_at_bad = stop_at_bad
        self.unusable: dict[str, str] = {}
        words: set[str] = set()
        self.num_cuts, self.speech_s = 0, 0.0
        for cut in track(cuts, "read texts", "cut"):
            own = self.words(cut)
            if not own:
                self._leave_out(cut, f"cut {cut.id} has no text")
            words.update(own)
            self.num_cuts += 1
            self.speech_s += cut.duration
        self.letters = {letter for word in words for letter in letters(word)}

    @property
    def name(self) -> str:
        """Path of the manifest."""
        return manifest_name(self.cuts)

    def words(self, cut: Cut) -> list[str]:
        """Words of a cut."""
        return cut_words(cut, self.text_normalization)

    def draw(self, seconds: float, options: TrainingOptions, alphabet: Alphabet) -> list[Example]:
        """Draw random cuts as training examples.

        Args:
            seconds: Approximate duration of all of them.
            options: Gives the seed.
            alphabet: Encodes the texts.
        """
        share = min(1.0, seconds / self.speech_s)
        draw = random.Random(options.seed)
        chosen = (cut for cut in self.cuts if draw.random() < share)
        return [
            Example(features.half().cpu(), alphabet.encode(self.words(cut)))
            for cut, features in self.read(chosen, "read", round(share * self.num_cuts))
            if features is not None
        ]

    def read(
        self, cuts: Iterable[Cut], what: str, total: int
    ) -> Iterator[tuple[Cut, Tensor | None]]:
        """Yield cuts and their features [T, F], with a progress bar.

        A cut without text or usable audio has None.

        Raises:
            ValueError: If the audio of a cut is unusable, and `stop_at_bad` is true; the error
                names the cut.
        """
        clips = read_clips(((0, cut) for cut in cuts), SAMPLE_RATE, self.num_workers)
        for clip in track(clips, what, "cut", total):
            if clip.audio is None:
                self._leave_out(clip.cut, clip.reason)
            if clip.audio is None or clip.cut.id in self.unusable:
                yield clip.cut, None
            else:
                yield clip.cut, self.features(torch.from_numpy(clip.audio))

    def _leave_out(self, cut: Cut, reason: str) -> None:
        if self.stop_at_bad:
            raise ValueError(
                f"{self.name}: {reason}: repair it, or leave such cuts without times with "
                "--on_bad skip"
            )
        self.unusable.setdefault(cut.id, reason)
