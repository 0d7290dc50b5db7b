"""Training samples and batches: text tokens beside codes (cached) or audio (encoded later)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from lhotse.cut import Cut
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset, Sampler

from sled.data.latents import cut_codes, cut_waveform, load_cached
from sled.data.manifests import load_cuts
from sled.text import PAD_ID, TextTokenizer


class SpeechDataset(Dataset[dict[str, Any]]):
    """Cuts as samples: `input_ids` [L] with `codes` [K, T] or, uncached, `audio` [S].

    Args:
        manifest: A cut manifest, or a folder of cached codes.
        tokenizer: Encodes the text of each cut's supervision.
        sample_rate: Of the audio wanted from uncached cuts, in Hz.
        frame_rate: Latents per second, for the lengths.
        max_samples: Keep only so many from the start. None: all.

    Raises:
        ValueError: For a missing manifest, or a cut without text.
    """

    def __init__(
        self,
        manifest: Path,
        tokenizer: TextTokenizer,
        sample_rate: int,
        frame_rate: float,
        max_samples: int | None = None,
    ) -> None:
        cuts = load_cached(manifest) if manifest.is_dir() else load_cuts(manifest)
        if max_samples is not None:
            cuts = cuts.subset(first=max_samples)
        self.cuts: list[Cut] = list(cuts)
        self.is_cached = manifest.is_dir()
        self.tokenizer = tokenizer
        self.sample_rate = sample_rate
        for cut in self.cuts:
            if not cut.supervisions or not (cut.supervisions[0].text or "").strip():
                raise ValueError(f"{manifest}: cut {cut.id} has no text: remove or transcribe it")
        hop_length = round(sample_rate / frame_rate)
        self.num_frames = [-(-round(c.duration * sample_rate) // hop_length) for c in self.cuts]

    def __len__(self) -> int:
        return len(self.cuts)

    def __getitem__(self, index: int) -> dict[str, Any]:
        cut = self.cuts[index]
        sample = {"input_ids": torch.tensor(self.tokenizer.encode(cut.supervisions[0].text))}
        if self.is_cached:
            sample["codes"] = cut_codes(cut)
        else:
            sample["audio"] = cut_waveform(cut, self.sample_rate)
        return sample


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Right-padded batch: `input_ids`, `attention_mask` [B, L] and `codes` or `audio` as lists."""
    input_ids = pad_sequence([s["input_ids"] for s in samples], True, padding_value=PAD_ID)
    lengths = torch.tensor([len(s["input_ids"]) for s in samples])
    mask = length_mask(lengths)
    speech = "codes" if "codes" in samples[0] else "audio"
    return {
        "input_ids": input_ids,
        "attention_mask": mask,
        speech: [sample[speech] for sample in samples],
    }


def length_mask(lengths: Tensor) -> Tensor:
    """[B] lengths to a [B, max] mask of ones followed by zeros."""
    return (torch.arange(int(lengths.max())) < lengths[:, None]).long()


class LengthGroupedBatchSampler(Sampler[list[int]]):
    """Batches of samples of like length, in an order that the seed and the epoch decide.

    Samples are shuffled, sorted by length inside windows of many batches, cut into batches, and
    the batches shuffled: like lengths meet, yet no two epochs batch alike.

    Args:
        num_frames: Length of each sample.
        batch_size: Samples per batch, or None with `max_frames`.
        max_frames: Padded frames per batch; batches of short samples then hold more of them.
        seed: Of the order.
    """

    WINDOW_BATCHES = 50

    def __init__(
        self,
        num_frames: Sequence[int],
        batch_size: int | None = None,
        max_frames: int | None = None,
        seed: int = 0,
    ) -> None:
        if (batch_size is None) == (max_frames is None):
            raise ValueError("give either batch_size or max_frames")
        self.num_frames = num_frames
        self.batch_size, self.max_frames, self.seed = batch_size, max_frames, seed
        # transformers and accelerate ask a batch sampler for these.
        self.epoch, self.drop_last = 0, False

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def _batches(self) -> list[list[int]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.num_frames), generator=generator).tolist()
        mean = max(1.0, sum(self.num_frames) / len(self.num_frames))
        per_batch = self.batch_size or max(1, int((self.max_frames or 1) / mean))
        window = per_batch * self.WINDOW_BATCHES
        batches: list[list[int]] = []
        for start in range(0, len(order), window):
            members = sorted(order[start : start + window], key=lambda i: self.num_frames[i])
            batch: list[int] = []
            for index in members:  # ascending, so `index` is the longest so far
                if batch and self._is_full(len(batch) + 1, self.num_frames[index]):
                    batches.append(batch)
                    batch = []
                batch.append(index)
            batches.append(batch)
        shuffled = torch.randperm(len(batches), generator=generator).tolist()
        return [batches[i] for i in shuffled]

    def _is_full(self, count: int, longest: int) -> bool:
        if self.batch_size is not None:
            return count > self.batch_size
        return count * longest > (self.max_frames or 0)

    def __iter__(self) -> Iterator[list[int]]:
        yield from self._batches()

    def __len__(self) -> int:
        return len(self._batches())
