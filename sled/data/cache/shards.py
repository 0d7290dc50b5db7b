"""The folder of a cached corpus: its record and its Lhotse Shar shards.

    codes.json              the record: the codec, the manifest, cuts per shard
    cuts.000000.jsonl.gz    the cuts of the first shard, without audio
    codes.000000.tar        their codes, packed bytes [T, frame_bytes] (see `packing`)
    rejected.000000.jsonl   cuts of this shard without usable audio, if there are any

A shard gets its final names only when it is complete, the file of its cuts last. So any number of
processes can write to one folder, and an interrupted process continues with the missing shards.
Folders `partial.*` belong to running or killed processes; nothing reads them.
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
    """File name of a shard's cuts."""
    return f"cuts.{shard:06d}.jsonl.gz"


def codes_name(shard: int) -> str:
    """File name of a shard's codes."""
    return f"codes.{shard:06d}.tar"


def rejected_name(shard: int) -> str:
    """File name of a shard's rejected cuts."""
    return f"rejected.{shard:06d}.jsonl"


@dataclass(frozen=True)
class CacheRecord:
    """What a cached corpus was made from; stored in `codes.json`.

    Attributes:
        codec_digest: `Codec.digest` of the codec that encoded it.
        sample_rate: Sample rate of the codec in Hz.
        frame_rate: Frame rate of the codec in Hz.
        num_codebooks: Number of codes per frame.
        codebook_size: Number of entries of each codebook.
        manifest_digest: Digest of the manifest, rejected cuts included.
        num_cuts: Number of cuts in the manifest, rejected cuts included.
        shard_size: Cuts per shard, rejected cuts included; the last shard may have fewer.
        codec: Where the codec was: a folder or file, with its whole path, or a hub name. None: not
            recorded. The same codec may be found elsewhere, so it is not compared.
    """

    codec_digest: str
    sample_rate: int
    frame_rate: float
    num_codebooks: int
    codebook_size: int
    manifest_digest: str
    num_cuts: int
    shard_size: int
    codec: str | None = None

    @property
    def num_shards(self) -> int:
        """Number of shards."""
        return -(-self.num_cuts // self.shard_size)

    def shard_cuts(self, shard: int) -> int:
        """Number of cuts of one shard, rejected cuts included."""
        return min(self.shard_size, self.num_cuts - shard * self.shard_size)


def codec_facts(codec: Codec) -> dict[str, Any]:
    """The fields of a record that describe the codec."""
    return {
        "codec_digest": codec.digest(),
        "sample_rate": codec.sample_rate,
        "frame_rate": codec.frame_rate,
        "num_codebooks": codec.num_codebooks,
        "codebook_size": codec.codebook_size,
    }


def has_record(folder: Path) -> bool:
    """Whether a folder is that of a cached corpus."""
    return (folder / _RECORD).is_file()


def read_record(folder: Path) -> CacheRecord:
    """Read the record of a cached corpus.

    Raises:
        ValueError: If the folder has no record, or one of another version.
    """
    try:
        return records.read_record(folder / _RECORD, CacheRecord)
    except FileNotFoundError as error:
        found = "shards of an older form" if _has_shards(folder) else "no cached codes"
        raise ValueError(
            f"{folder} holds {found} (no {_RECORD}): run sled cache codes into a new folder"
        ) from error
    except ValueError as error:
        raise ValueError(f"{error}: run sled cache codes into a new folder") from error


def claim(folder: Path, record: CacheRecord) -> None:
    """Write the record into a folder, unless the folder has the same record already.

    Raises:
        ValueError: If the folder has another record, or shards without a record.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not _has_shards(folder):
        records.keep_record(folder / _RECORD, record)
    facts = asdict(record)
    del facts["codec"]
    refuse_differences(
        folder,
        facts,
        "continue with the same codec, manifest and --shard_size, or choose another folder",
    )


def refuse_differences(folder: Path, facts: Mapping[str, Any], remedy: str) -> None:
    """Compare the record of a folder with the expected values, see `records.refuse_differences`."""
    records.refuse_differences(folder / _RECORD, read_record(folder), facts, remedy)


def missing_shards(folder: Path) -> list[int]:
    """Numbers of the shards that are still to be made."""
    present = {path.name for path in folder.iterdir()}
    shards = range(read_record(folder).num_shards)
    return [s for s in shards if not present.issuperset((cuts_name(s), codes_name(s)))]


def publish_shard(partial: Path, folder: Path, shard: int) -> int:
    """Move a complete shard from a partial folder to its place.

    A file of rejected cuts that an interrupted run left is removed.

    Returns:
        Size of the shard in bytes.
    """
    (folder / rejected_name(shard)).unlink(missing_ok=True)
    paths = sorted(partial.glob(f"*.{shard:06d}.*"), key=lambda path: path.name == cuts_name(shard))
    num_bytes = sum(path.stat().st_size for path in paths)
    for path in paths:  # that of the cuts is the last
        path.replace(folder / path.name)
    return num_bytes


def open_shards(folder: Path, shards: Sequence[int]) -> CutSet:
    """Open the cuts of some shards lazily, with their codes attached."""
    return CutSet.from_shar(
        fields={
            "cuts": [folder / cuts_name(shard) for shard in shards],
            "codes": [folder / codes_name(shard) for shard in shards],
        }
    )


def _has_shards(folder: Path) -> bool:
    return any(folder.glob("cuts.*.jsonl.gz"))
