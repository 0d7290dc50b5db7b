"""Training samples and batches: text tokens with cached codes, or with audio to be encoded later.

Shapes: B samples, L text tokens, T frames, S samples of audio, K codebooks.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from lhotse import CutSet, combine
from lhotse.array import Array
from lhotse.cut import Cut
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from sled.codec import Codec, group_codes
from sled.data.alignment.spoken_tokens import spoken_tokens
from sled.data.cache.codes import cut_codes, cut_waveform, has_codes, load_cached
from sled.data.cache.shards import read_record
from sled.data.manifests import Manifest, load_cuts
from sled.text.tokenizer import PAD_ID, TextTokenizer

# After this time it is heard who is speaking, and the model only has to go on.
GIVEN_S = 1.0


def open_corpus(
    paths: Sequence[Path],
    *,
    weights: Sequence[float] | None = None,
    data_path: Path | None = None,
    max_samples: int | None = None,
    max_duration_s: float | None = None,
    shuffle_seed: int | None = None,
) -> CutSet:
    """Open the cuts of one corpus, or of several corpora mixed.

    Args:
        paths: Cut manifests, or folders of cached codes.
        weights: Relative frequency of each corpus. Such a mixture is endless: each corpus restarts
            when it is exhausted. None: each cut once; if shuffled, the corpora are interleaved.
        data_path: Folder that relative audio paths of manifests start from. None: the folder of
            each manifest.
        max_samples: Use only this many cuts from the start of each corpus. None: all.
        max_duration_s: Leave out longer cuts. None: keep all.
        shuffle_seed: Seed of the order of shards and of the draws from a mixture. None: stored
            order.

    Raises:
        ValueError: If a corpus is missing or empty, or the weights do not fit.
    """
    if weights and (len(weights) != len(paths) or min(weights) <= 0):
        raise ValueError(f"{len(paths)} corpora need as many weights above 0, got {list(weights)}")
    corpora = []
    for path in paths:
        if path.is_dir():
            # The first cuts are those of the first shards, in each epoch.
            keeps_order = max_samples is not None
            cuts = load_cached(path, shuffle_seed=None if keeps_order else shuffle_seed)
        else:
            cuts = load_cuts(path, data_path)
        if max_samples is not None:
            cuts = cuts.subset(first=max_samples)
        if max_duration_s is not None:
            cuts = cuts.filter(partial(_lasts_at_most, max_duration_s))
        corpora.append(cuts)
    if weights is None and (shuffle_seed is None or len(corpora) == 1):
        return combine(corpora)
    if weights is None:
        # Interleaved: with one corpus after the other, a model forgets the first one.
        sizes = [min(num_cuts(path), max_samples or sys.maxsize) for path in paths]
        return CutSet.mux(*corpora, weights=sizes, seed=shuffle_seed)
    endless = [cuts.repeat(preserve_id=True) for cuts in corpora]
    return CutSet.mux(*endless, weights=list(weights), seed=shuffle_seed or 0)


def num_cuts(path: Path) -> int:
    """Number of cuts in a corpus; for a manifest, all lines are counted."""
    return read_record(path).num_cuts if path.is_dir() else len(Manifest(path))


def _lasts_at_most(seconds: float, cut: Cut) -> bool:
    """Whether a cut is short enough. A named function, because data workers pickle it."""
    return float(cut.duration) <= seconds


class SpeechDataset(Dataset[dict[str, Any]]):
    """Cuts as samples: `input_ids` [L] with `speech`, which is codes [K, T] or a waveform [S].

    Args:
        tokenizer: Encodes the text of each cut's supervision.
        codec: Gives the sample rate and the frame rate; its weights are not kept, because samples
            are made in data workers.
        join_share: Probability that a cut is joined to the one before it in its batch, as one
            sample, if both have the same known speaker.
        max_joined_s: Longest joined sample in seconds.
        with_spoken_tokens: Add `spoken_tokens` [T], the position in the text of the token that is
            spoken in each frame (see `alignment.spoken_tokens`), and `spoken_ids` [T], the id of
            that token; both are -1 where unknown.
        main_speaker: Who speaks without a prompt. Samples of others begin with `GIVEN_S` that are
            only read, not learned: `num_given` counts these frames. None: all is learned.
        conditions: Widths by name of the conditions that each sample needs. They are in the custom
            field `conditions` of a cut, numbers by name, and become `conditions` of the sample,
            [width] by name. A joined sample has those of its first cut.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        codec: Codec,
        join_share: float = 0.0,
        max_joined_s: float = float("inf"),
        with_spoken_tokens: bool = False,
        main_speaker: str | None = None,
        conditions: Mapping[str, int] | None = None,
    ) -> None:
        self.conditions = dict(conditions or {})
        self.main_speaker = main_speaker
        self.tokenizer, self.with_spoken_tokens = tokenizer, with_spoken_tokens
        self.sample_rate, self.hop_length = codec.sample_rate, codec.hop_length
        self.frames_per_unit = codec.frames_per_unit
        self.join_share, self.max_joined_s = join_share, max_joined_s

    def __getitem__(self, cut: Cut) -> dict[str, Any]:
        """Return one sample.

        Raises:
            ValueError: If a cut has no text or lacks a condition, or its audio cannot be read.
        """
        return self._join([cut])

    def __getitems__(self, cuts: Sequence[Cut]) -> list[dict[str, Any]]:
        """Return the samples of a batch; there are fewer than cuts if some cuts are joined."""
        return [self._join(group) for group in self.group(cuts)]

    def group(self, cuts: Sequence[Cut]) -> list[list[Cut]]:
        """Divide the cuts of a batch into the groups that each become one sample."""
        # Seeded by the contents of the batch: every process joins the same cuts at any time.
        random = Random("/".join(cut.id for cut in cuts))
        groups: list[list[Cut]] = []
        for cut in cuts:
            wanted = random.random() < self.join_share
            if wanted and groups and self._continues(groups[-1], cut):
                groups[-1].append(cut)
            else:
                groups.append([cut])
        return groups

    def _continues(self, group: Sequence[Cut], cut: Cut) -> bool:
        speakers = {one.supervisions[0].speaker for one in (group[0], cut) if one.supervisions}
        seconds = sum(one.duration for one in group) + cut.duration
        return len(speakers) == 1 and None not in speakers and seconds <= self.max_joined_s

    def _join(self, cuts: Sequence[Cut]) -> dict[str, Any]:
        """Make one sample of one or more cuts in sequence."""
        for cut in cuts:
            if not cut.supervisions or not (cut.supervisions[0].text or "").strip():
                raise ValueError(f"cut {cut.id} has no text: remove or transcribe it")
        text = " ".join(cut.supervisions[0].text for cut in cuts)
        sample: dict[str, Any] = {"input_ids": torch.tensor(self.tokenizer.encode(text))}
        if all(map(has_codes, cuts)):
            pieces = [cut_codes(cut) for cut in cuts]
            stored_hop = self.hop_length // self.frames_per_unit
            starts = [stored_hop * num for num in _starts(pieces)]
            sample["speech"] = group_codes(torch.cat(pieces, dim=-1), self.frames_per_unit)
            sample["num_frames"] = sample["speech"].shape[-1]
        else:
            pieces = [cut_waveform(cut, self.sample_rate) for cut in cuts]
            starts = _starts(pieces)
            sample["speech"] = torch.cat(pieces)
            sample["num_frames"] = -(-len(sample["speech"]) // self.hop_length)
        sample["num_given"] = self._num_given(cuts[0], sample["num_frames"])
        if self.conditions:
            sample["conditions"] = cut_conditions(cuts[0], self.conditions)
        if self.with_spoken_tokens:
            # At the end of each frame: a token must not be marked later than it is spoken.
            ends = (torch.arange(sample["num_frames"]) + 1) * self.hop_length
            sample["spoken_tokens"] = spoken_tokens(
                self.tokenizer,
                cuts,
                [start / self.sample_rate for start in starts],
                ends / self.sample_rate,
            )
            ids = sample["input_ids"][sample["spoken_tokens"].clamp_min(0)]
            sample["spoken_ids"] = ids.where(sample["spoken_tokens"] >= 0, -1)
        return sample

    def _num_given(self, first: Cut, num_frames: int) -> int:
        if self.main_speaker in (None, first.supervisions[0].speaker):
            return 0
        return min(num_frames, round(GIVEN_S * self.sample_rate / self.hop_length))


def cut_conditions(cut: Cut, widths: Mapping[str, int]) -> dict[str, Tensor]:
    """Conditions of a cut, float32 [width] by name.

    Args:
        cut: A cut whose custom field `conditions` has numbers by name: a list, an array, or
            Lhotse's manifest of a stored array.
        widths: Width of each condition.

    Raises:
        ValueError: If the cut lacks a condition, or it has another width.
    """
    found = (cut.custom or {}).get("conditions") or {}
    conditions = {}
    for name, width in widths.items():
        if name not in found:
            raise ValueError(
                f'cut {cut.id} lacks the condition {name}: put {{"conditions": {{"{name}": '
                f"[{width} numbers]}}}} into its custom field"
            )
        value = found[name]
        numbers = np.asarray(value.load() if isinstance(value, Array) else value, np.float32)
        if numbers.shape != (width,):
            raise ValueError(
                f"cut {cut.id}: its condition {name} has shape {list(numbers.shape)}, the model "
                f"takes [{width}]"
            )
        conditions[name] = torch.from_numpy(numbers)
    return conditions


def _starts(pieces: Sequence[Tensor]) -> list[int]:
    """Start of each piece when the pieces are concatenated."""
    return [0, *accumulate(piece.shape[-1] for piece in pieces[:-1])]


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Make a batch of samples.

    It has right-padded `input_ids` and `attention_mask` [B, L], `speech` as a list, and
    `num_frames` and `num_given` [B]. Lengths are known before anything is encoded, so that the
    batches of a training step, whose losses are computed one after the other, can be weighted from
    the start. `spoken_tokens` and `spoken_ids` [B, T], padded with -1, and `conditions`, [B, width]
    by name, are in the batch if the samples have them.
    """
    spoken = {
        key: pad_sequence([sample[key] for sample in samples], True, padding_value=-1)
        for key in ("spoken_tokens", "spoken_ids")
        if key in samples[0]
    }
    first = samples[0].get("conditions", {})
    conditions = {name: torch.stack([s["conditions"][name] for s in samples]) for name in first}
    optional = spoken | ({"conditions": conditions} if conditions else {})
    return optional | {
        "input_ids": pad_sequence([s["input_ids"] for s in samples], True, padding_value=PAD_ID),
        "attention_mask": length_mask(torch.tensor([len(s["input_ids"]) for s in samples])),
        "speech": [sample["speech"] for sample in samples],
        "num_frames": torch.tensor([sample["num_frames"] for sample in samples]),
        "num_given": torch.tensor([sample["num_given"] for sample in samples]),
    }


def length_mask(lengths: Tensor) -> Tensor:
    """Return a [B, max] mask with ones in the first `lengths` [B] places of each row."""
    return (torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]).long()
