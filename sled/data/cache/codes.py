"""Codec codes, computed once and stored beside the text in a folder of Lhotse Shar shards.

`sled.data.cache.shards` describes the folder and how several processes write to it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Literal

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from lhotse.utils import compute_num_samples
from torch import Tensor

from sled.bundled import codec_folder
from sled.codec import Codec
from sled.data.cache.clips import Clip, cut_waveform, read_clips
from sled.data.cache.packing import unpack_codes
from sled.data.cache.shards import (
    CacheRecord,
    claim,
    codec_facts,
    codes_name,
    cuts_name,
    missing_shards,
    open_shards,
    read_record,
    refuse_differences,
    rejected_name,
)
from sled.data.cache.writing import ShardWriter, write_shard
from sled.data.manifests import cuts_of_groups, fingerprint
from sled.files.progress import Progress, track

__all__ = [
    "SHARD_SIZE",
    "CacheReport",
    "cache_codes",
    "check_codec",
    "cut_codes",
    "cut_waveform",
    "has_codes",
    "load_cached",
    "new_record",
    "verify_codes",
]

SHARD_SIZE = 1000

OnBad = Literal["stop", "skip"]

# Clips per call of the codec.
_CLIPS_PER_CALL = 16


def has_codes(cut: Cut) -> bool:
    """Whether a cut carries its codes."""
    return bool(cut.has_custom("codes"))


def cut_codes(cut: Cut) -> Tensor:
    """Unpack the cached codes of a cut, int64 [K, T].

    Raises:
        ValueError: If the cut has no codes packed by `cache_codes`.
    """
    custom = cut.custom or {}
    if not custom.keys() >= {"codes", "num_codebooks", "code_bits"}:
        raise ValueError(
            f"cut {cut.id} holds no packed codes: run sled cache codes into a new folder"
        )
    codes = unpack_codes(cut.load_codes(), custom["num_codebooks"], custom["code_bits"])
    return torch.from_numpy(codes.T)


def load_cached(folder: Path, shuffle_seed: int | None = None) -> CutSet:
    """Open the cuts of a cached corpus lazily, with their codes attached.

    Args:
        folder: A folder written by `cache_codes`.
        shuffle_seed: Seed of the order of the shards. None: in the order of their numbers.

    Raises:
        ValueError: If the folder holds no cached corpus, or an incomplete one.
    """
    record = read_record(folder)
    if missing := missing_shards(folder):
        raise ValueError(
            f"{folder} is not complete: {len(missing)} of its {record.num_shards} shards are "
            f"missing, the first is number {missing[0]}: run sled cache codes again with the same "
            "flags to finish it"
        )
    shards = list(range(record.num_shards))
    if shuffle_seed is not None:
        random.Random(shuffle_seed).shuffle(shards)
    return open_shards(folder, shards)


def check_codec(folder: Path, codec: Codec) -> None:
    """Check that a cached corpus was encoded with this codec, below its transforms.

    Raises:
        ValueError: If it was encoded with another codec.
    """
    recorded = read_record(folder).codec
    remedy = (
        f"name the codec it was made with{f' ({recorded})' if recorded else ''}, or encode the "
        "corpus again into another folder"
    )
    refuse_differences(folder, codec_facts(codec.stored), remedy)


@dataclass
class CacheReport:
    """Result of encoding or verifying, and the time it took.

    Attributes:
        num_cuts: Cuts encoded or verified.
        num_rejected: Cuts without usable audio.
        speech_s: Duration of the cuts.
        num_bytes: Size of the shards.
        elapsed_s: Time it took.
    """

    num_cuts: int = 0
    num_rejected: int = 0
    speech_s: float = 0.0
    num_bytes: int = 0
    elapsed_s: float = 0.0

    def __str__(self) -> str:
        if not self.num_cuts:
            return "no cuts"
        hours, rate = self.speech_s / 3600, self.speech_s / self.elapsed_s
        return (
            f"{self.num_cuts} cuts, {hours:.2f} h of speech in {self.elapsed_s:.0f} s, "
            f"{rate:.0f} times real time, {self.num_bytes / hours / 1e6:.2f} MB per hour"
        )


def cache_codes(
    cuts: CutSet,
    codec: Codec,
    output_dir: Path,
    shard_size: int = SHARD_SIZE,
    *,
    codec_name: str | Path | None = None,
    part: tuple[int, int] = (0, 1),
    num_workers: int = 0,
    on_bad: OnBad = "stop",
) -> CacheReport:
    """Encode a corpus, or this process's part of it, and write the shards.

    Existing shards are kept.

    Args:
        cuts: The corpus; its order decides which cuts each shard holds.
        codec: Encodes each clip independently. Codes are those of the codec below all transforms.
        output_dir: Folder of the shards, created if needed. Several processes may write to it at
            once.
        shard_size: Cuts per shard.
        codec_name: Where the codec was loaded from; recorded, so that training finds it.
        part: (i, n): this process makes shard i of every n shards, counted from 0.
        num_workers: Processes that read audio ahead. 0: none.
        on_bad: What to do about a cut without usable audio: "stop" with an error, or "skip" it and
            list it in the `rejected` file of the shard.

    Returns:
        What was encoded.

    Raises:
        ValueError: If there are no cuts, the folder belongs to another corpus, codec or shard size,
            or a cut has no usable audio and `on_bad` is "stop".
    """
    if shard_size < 1:
        raise ValueError(f"{shard_size} cuts per shard: give at least 1")
    codec = codec.stored
    num_cuts, manifest_digest = fingerprint(cuts)
    if not num_cuts:
        raise ValueError("there are no cuts to encode: prepare the corpus again")
    record = new_record(codec, manifest_digest, num_cuts, shard_size, codec_name)
    claim(output_dir, record)
    mine = _shards_of(part, record)
    missing = set(missing_shards(output_dir)).intersection(mine)
    done = sum(record.shard_cuts(shard) for shard in mine if shard not in missing)

    report, start = CacheReport(), time.perf_counter()
    clips = read_clips(cuts_of_groups(cuts, shard_size, missing), codec.sample_rate, num_workers)
    total = sum(map(record.shard_cuts, mine))
    with Progress(f"codes {output_dir.name}", total, "clip", done) as progress:
        for clip in _write_shards(output_dir, record, clips, codec, on_bad, report):
            if clip.audio is None:
                report.num_rejected += 1
            else:
                report.num_cuts += 1
                report.speech_s += clip.cut.duration
            report.elapsed_s = time.perf_counter() - start
            speed = report.speech_s / report.elapsed_s
            progress.advance(note=f"{speed:.0f} x real time")
    return report


def new_record(
    codec: Codec,
    manifest_digest: str,
    num_cuts: int,
    shard_size: int,
    codec_name: str | Path | None,
) -> CacheRecord:
    """The record of a corpus of codes of a codec; for the rest, see `CacheRecord`."""
    return CacheRecord(
        **codec_facts(codec.stored),
        manifest_digest=manifest_digest,
        num_cuts=num_cuts,
        shard_size=shard_size,
        codec=_whole_name(codec_name),
    )


def _whole_name(codec: str | Path | None) -> str | None:
    """A name of a codec that can be used from any working directory."""
    if codec is None:
        return None
    path = Path(codec_folder(codec)).expanduser()
    return str(path.resolve()) if path.exists() else str(codec)


def verify_codes(folder: Path, codec: Codec, part: tuple[int, int] = (0, 1)) -> CacheReport:
    """Read all shards again and check that every cut has as many codes as its duration requires.

    Args:
        folder: A cached corpus.
        codec: The codec it was encoded with.
        part: (i, n): check shard i of every n shards, counted from 0.

    Returns:
        What was verified.

    Raises:
        ValueError: If the corpus is incomplete or of another codec, or a shard is broken; the error
            names the first broken shard.
    """
    check_codec(folder, codec)
    codec = codec.stored
    load_cached(folder)  # raises an error unless complete
    record, report, start = read_record(folder), CacheReport(), time.perf_counter()
    for shard in track(_shards_of(part, record), f"verify {folder.name}", "shard"):
        try:
            durations = list(_verified_durations(folder, shard, codec))
            num_rejected = _count_rejected(folder, shard)
            if len(durations) + num_rejected != record.shard_cuts(shard):
                raise ValueError(
                    f"{len(durations)} cuts and {num_rejected} rejected ones are not the "
                    f"{record.shard_cuts(shard)} of the manifest"
                )
        except Exception as error:  # broken archives end in errors of many types
            raise ValueError(
                f"{folder}: shard {shard} is wrong ({error or type(error).__name__}): delete "
                f"{cuts_name(shard)} and run sled cache codes again"
            ) from error
        report.num_cuts += len(durations)
        report.num_rejected += num_rejected
        report.speech_s += sum(durations)
        names = (cuts_name(shard), codes_name(shard))
        report.num_bytes += sum((folder / name).stat().st_size for name in names)
    report.elapsed_s = time.perf_counter() - start
    return report


def _shards_of(part: tuple[int, int], record: CacheRecord) -> range:
    """Numbers of the shards of one part."""
    index, count = part
    if not 0 <= index < count:
        raise ValueError(f"part {index} of {count}: parts are counted from 0 to {count - 1}")
    return range(index, record.num_shards, count)


def _write_shards(
    folder: Path,
    record: CacheRecord,
    clips: Iterable[Clip],
    codec: Codec,
    on_bad: OnBad,
    report: CacheReport,
) -> Iterator[Clip]:
    """Encode clips and publish each complete shard. Clips are yielded once they are encoded."""
    for shard, members in groupby(clips, key=lambda clip: clip.shard):
        with write_shard(folder, record, shard) as writer:
            while group := list(islice(members, _CLIPS_PER_CALL)):
                _write_clips(writer, group, codec, on_bad)
                yield from group
        report.num_bytes += writer.num_bytes


def _write_clips(writer: ShardWriter, clips: Iterable[Clip], codec: Codec, on_bad: OnBad) -> None:
    """Encode clips into an open shard, or reject them."""
    good = []
    for clip in clips:
        if clip.audio is not None:
            good.append((clip.cut, torch.from_numpy(clip.audio)))
        elif on_bad == "stop":
            raise ValueError(f"{clip.reason}: repair it, or leave such cuts out with --on_bad skip")
        else:
            writer.reject(clip.cut.id, clip.reason)
    encoded = codec.encode([audio for _, audio in good])
    for (cut, _), codes in zip(good, encoded, strict=True):
        writer.write(cut, codes)


def _verified_durations(folder: Path, shard: int, codec: Codec) -> Iterator[float]:
    """Yield the durations in seconds of a shard's cuts after checking their codes."""
    for cut in open_shards(folder, [shard]):
        codes = cut_codes(cut)
        num_frames = codec.num_frames(compute_num_samples(cut.duration, codec.sample_rate))
        if codes.shape != (codec.num_codebooks, num_frames):
            raise ValueError(
                f"cut {cut.id} has codes {list(codes.shape)}, not "
                f"{[codec.num_codebooks, num_frames]}"
            )
        if codes.max() >= codec.codebook_size:
            raise ValueError(f"cut {cut.id} has a code {codes.max()} beyond the codebook")
        yield cut.duration


def _count_rejected(folder: Path, shard: int) -> int:
    path = folder / rejected_name(shard)
    return len(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else 0
