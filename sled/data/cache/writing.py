"""Writing the shards of a cached corpus; `sled.data.cache.shards` describes the folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from lhotse.cut import Cut
from lhotse.shar import SharWriter
from lhotse.shar.utils import to_shar_placeholder
from torch import Tensor

from sled.data.alignment.spoken_times import counted_from_cut
from sled.data.cache.packing import bits_per_code, pack_codes
from sled.data.cache.shards import (
    CacheRecord,
    claim,
    codes_name,
    cuts_name,
    publish_shard,
    rejected_name,
)
from sled.data.manifests import check_cut_id


class ShardWriter:
    """Writes the cuts of one shard; see `write_shard`.

    Attributes:
        folder: Folder of the shard's files until it is published. Other files in it are published
            with the shard if their names have its number, as those of `shards.py` do.
        num_bytes: Size of the shard once it is published.
    """

    def __init__(self, folder: Path, shar: SharWriter, shard: int, codebook_size: int) -> None:
        self.folder, self.num_bytes = folder, 0
        self._shar, self._shard, self._codebook_size = shar, shard, codebook_size

    def write(self, cut: Cut, codes: Tensor) -> None:
        """Add a cut, with its codes [K, T] in the place of its audio.

        Raises:
            ValueError: If the id of the cut cannot name files, so that it could not be read again.
        """
        check_cut_id(cut.id)
        self._shar.write(_with_codes(cut, codes, self._codebook_size))

    def reject(self, cut_id: str, reason: str) -> None:
        """List a cut that is left out."""
        with (self.folder / rejected_name(self._shard)).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"id": cut_id, "reason": reason}) + "\n")


@contextmanager
def write_shard(folder: Path, record: CacheRecord, shard: int) -> Iterator[ShardWriter]:
    """Open a shard, and publish it when the block ends without an error."""
    with TemporaryDirectory(prefix="partial.", dir=folder) as partial:
        # Lhotse creates files at the first cut, and a shard may have only rejected cuts.
        for name in (cuts_name(shard), codes_name(shard)):
            Path(partial, name).touch()
        with SharWriter(
            partial,
            fields={"codes": "numpy"},
            shard_size=record.shard_size,
            shard_offset=shard,
            warn_unused_fields=False,
        ) as shar:
            writer = ShardWriter(Path(partial), shar, shard, record.codebook_size)
            yield writer
        # Again: another process may have claimed the empty folder at the same moment.
        claim(folder, record)
        writer.num_bytes = publish_shard(Path(partial), folder, shard)


def _with_codes(cut: Cut, codes: Tensor, codebook_size: int) -> Cut:
    """Replace the audio of a cut by its codes [K, T] and the numbers needed to unpack them."""
    num_codebooks, num_frames = codes.shape
    bits = bits_per_code(codebook_size)
    custom = {"num_codebooks": num_codebooks, "code_bits": bits}
    # In Shar every cut starts at 0, wherever it starts in its recording.
    recording = to_shar_placeholder(cut.recording, cut)
    cut = replace(counted_from_cut(cut), recording=recording, custom=(cut.custom or {}) | custom)
    return cut.attach_tensor(
        "codes",
        pack_codes(codes.T.cpu().numpy(), bits),
        frame_shift=cut.duration / num_frames,
        temporal_dim=0,
    )
