"""The folder of a cached corpus: what made it, and which of its Lhotse Shar shards are there.

    codes.json              what made it: the codec, the manifest, cuts per shard
    cuts.000000.jsonl.gz    the cuts of the first shard, without their audio
    codes.000000.tar        their codes, packed bytes [T, frame_bytes] (see `packing`)
    rejected.000000.jsonl   cuts of that shard that have no usable audio, if there are any

A shard appears under its names only when it is whole, the file of its cuts last. So any number of
processes can write to one folder, and an interrupted one continues with the shards that are
missing. Folders `partial.*` belong to running processes, or to killed ones: nothing reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lhotse import CutSet

from sled.codec import Codec
from sled.data.cache import records

_RECORD = "codes.json"


def cuts_name(shard: int) -> str:
    return f"cuts.{shard:06d}.jsonl.gz"


def codes_name(shard: int) -> str:
    return f"codes.{shard:06d}.tar"


def rejected_name(shard: int) -> str:
    return f"rejected.{shard:06d}.jsonl"


@dataclass(frozen=True)
class CacheRecord:
    """What a cached corpus is made of; kept in its `codes.json`.

    Attributes:
        codec_digest: `Codec.digest` of the codec, and its other properties below.
        manifest_digest: of all that the manifest says, rejected cuts included.
        num_cuts: in the manifest, rejected ones included.
        shard_size: cuts per shard, rejected ones included; the last shard may have fewer.
    """

    codec_digest: str
    sample_rate: int
    frame_rate: float
    num_codebooks: int
    codebook_size: int
    manifest_digest: str
    num_cuts: int
    shard_size: int

    @property
    def num_shards(self) -> int:
        return -(-self.num_cuts // self.shard_size)

    def shard_cuts(self, shard: int) -> int:
        """Cuts of one shard, rejected ones included."""
        return min(self.shard_size, self.num_cuts - shard * self.shard_size)


def codec_facts(codec: Codec) -> dict[str, Any]:
    """The fields of a record that a codec decides."""
    return {
        "codec_digest": codec.digest(),
        "sample_rate": codec.sample_rate,
        "frame_rate": codec.frame_rate,
        "num_codebooks": codec.num_codebooks,
        "codebook_size": codec.codebook_size,
    }


def read_record(folder: Path) -> CacheRecord:
    """What a cached corpus is made of.

    Raises:
        ValueError: If the folder holds none, or one of another version.
    """
    try:
        return records.read_record(folder / _RECORD, CacheRecord)
    except FileNotFoundError as error:
        found = "shards of an older form" if _has_shards(folder) else "no cached codes"
        raise ValueError(
            f"{folder} holds {found} (no {_RECORD}): run scripts/cache_latents.py into a new folder"
        ) from error
    except ValueError as error:
        raise ValueError(f"{error}: run scripts/cache_latents.py into a new folder") from error


def claim(folder: Path, record: CacheRecord) -> None:
    """Make the folder one of this record, unless it is one already.

    Raises:
        ValueError: If it is one of another record, or holds shards without any.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not _has_shards(folder):
        records.keep_record(folder / _RECORD, record)
    refuse_differences(
        folder,
        asdict(record),
        "continue with the same codec, manifest and --shard_size, or choose another folder",
    )


def refuse_differences(folder: Path, facts: Mapping[str, Any], remedy: str) -> None:
    """Compare the folder's record with what is the case; see `records.refuse_differences`."""
    records.refuse_differences(folder / _RECORD, read_record(folder), facts, remedy)


def missing_shards(folder: Path) -> list[int]:
    """Numbers of the shards that are still to be made."""
    present = {path.name for path in folder.iterdir()}
    shards = range(read_record(folder).num_shards)
    return [s for s in shards if not present.issuperset((cuts_name(s), codes_name(s)))]


def publish_shard(partial: Path, folder: Path, shard: int) -> int:
    """Move a finished shard from a partial folder to where it belongs; returns its size in bytes.

    A file of rejected cuts that an interrupted run left behind goes.
    """
    (folder / rejected_name(shard)).unlink(missing_ok=True)
    num_bytes = 0
    for name in (rejected_name(shard), codes_name(shard), cuts_name(shard)):
        if (partial / name).is_file():
            num_bytes += (partial / name).stat().st_size
            (partial / name).replace(folder / name)
    return num_bytes


def open_shards(folder: Path, shards: Sequence[int]) -> CutSet:
    """The cuts of some shards, lazily, with their codes attached."""
    return CutSet.from_shar(
        fields={
            "cuts": [folder / cuts_name(shard) for shard in shards],
            "codes": [folder / codes_name(shard) for shard in shards],
        }
    )


def _has_shards(folder: Path) -> bool:
    return any(folder.glob("cuts.*.jsonl.gz"))
