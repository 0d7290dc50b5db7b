"""Codec codes computed once and kept beside the text, as Lhotse Shar shards.

A cached corpus is a folder of numbered shards: `cuts.000000.jsonl.gz` with the metadata and
`codes.000000.tar` with the codes of each cut, int16 [T, K]. Audio is no longer needed. A shard
appears under its final name only when it is whole, so an interrupted run continues at the first
shard that is missing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from lhotse import CutSet
from lhotse.cut import Cut
from lhotse.shar import SharWriter
from torch import Tensor
from tqdm import tqdm

from sled.codec import Codec

logger = logging.getLogger(__name__)

SHARD_SIZE = 1000


def cut_waveform(cut: Cut, sample_rate: int) -> Tensor:
    """Mono waveform [S] of a cut at the given rate, from its recording.

    Raises:
        ValueError: Naming the cut, if its audio cannot be read.
    """
    try:
        samples = cut.resample(sample_rate).load_audio()
    except Exception as error:  # lhotse wraps backend errors in many types
        raise ValueError(f"cut {cut.id}: cannot read its audio ({error})") from error
    return torch.from_numpy(samples.mean(axis=0))


def cut_codes(cut: Cut) -> Tensor:
    """Cached codes [K, T] of a cut."""
    return torch.from_numpy(cut.load_codes().astype(np.int64).T)


def cache_codes(cuts: CutSet, codec: Codec, output_dir: Path, shard_size: int = SHARD_SIZE) -> None:
    """Encode every cut and write the shards.

    Args:
        cuts: The corpus; its order decides what goes into which shard.
        codec: Encodes each clip as if alone.
        output_dir: Created if need be.
        shard_size: Cuts per shard.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    progress = tqdm(total=len(cuts), desc=f"codes {output_dir.name}", unit="clip", disable=None)
    source: Iterator[Cut] = iter(cuts)
    partial = output_dir / "partial"
    for shard in range(-(-len(cuts) // shard_size)):
        batch = list(islice(source, shard_size))
        # The cuts' file is renamed last: it marks the shard as complete.
        names = [f"codes.{shard:06d}.tar", f"cuts.{shard:06d}.jsonl.gz"]
        if (output_dir / names[-1]).is_file():
            progress.update(len(batch))
            continue
        partial.mkdir(exist_ok=True)
        with SharWriter(
            partial, fields={"codes": "numpy"}, shard_size=shard_size, warn_unused_fields=False
        ) as writer:
            for cut in batch:
                codes = codec.encode([cut_waveform(cut, codec.sample_rate)])[0]  # [K, T]
                array = codes.T.to(torch.int16).cpu().numpy()
                cut = cut.attach_tensor(
                    "codes", array, frame_shift=cut.duration / len(array), temporal_dim=0
                )
                writer.write(cut)
                progress.update()
        for name in names:
            (partial / name.replace(f"{shard:06d}", f"{0:06d}")).replace(output_dir / name)
        partial.rmdir()
    progress.close()


def load_cached(folder: Path) -> CutSet:
    """The cuts of a cached corpus, lazily, with their codes attached.

    Raises:
        ValueError: If the folder holds no whole shard.
    """
    shards = sorted(folder.glob("cuts.*.jsonl.gz"))
    if not shards:
        raise ValueError(f"{folder} holds no cached codes: run scripts/cache_latents.py first")
    codes = [shard.with_name(shard.name.replace("cuts.", "codes.", 1)) for shard in shards]
    codes = [path.with_name(path.name.replace(".jsonl.gz", ".tar")) for path in codes]
    return CutSet.from_shar(fields={"cuts": shards, "codes": codes})
