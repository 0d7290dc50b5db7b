"""A prepared split as Lhotse Shar: text and audio in shards that are read sequentially.

Shards hold FLAC at the sample rate of each recording, and only the spoken part of it, so slow and
remote disks need not seek in long recordings.
"""

from itertools import count, islice
from pathlib import Path

from lhotse import CutSet
from lhotse.shar import SharWriter

from sled.data.manifests import load_cuts
from sled.files.progress import Progress

SHARD_SIZE = 1_000


def shar_folder(output_dir: Path, split: str) -> Path:
    """Folder of the shards of a split."""
    return output_dir / f"shar_{split}"


def write_shar(manifest: Path, folder: Path, shard_size: int = SHARD_SIZE) -> None:
    """Copy a split into shards. A shard appears when it is complete, and existing shards are kept.

    Args:
        manifest: Manifest of the split, with audio paths relative to its folder.
        folder: Folder of the shards: `cuts.000000.jsonl.gz`, `recording.000000.tar` and so on.
        shard_size: Cuts per shard.

    Raises:
        ValueError: If the audio of a cut cannot be decoded; the error names the cut.
    """
    # Absolute, because Lhotse runs a name that starts with "pipe:" as a command.
    manifest, folder = manifest.absolute(), folder.absolute()
    partial = folder / "partial"
    partial.mkdir(parents=True, exist_ok=True)
    cuts = iter(load_cuts(manifest))
    with Progress(folder.name, None, "clip") as progress:
        for shard in count():
            batch = list(islice(cuts, shard_size))
            if not batch:
                break
            names = [f"recording.{shard:06d}.tar", f"cuts.{shard:06d}.jsonl.gz"]
            if not (folder / names[-1]).is_file():
                _write_shard(CutSet.from_cuts(batch), partial, shard)
                for name in names:  # the cuts come last: they mark the shard as complete
                    (partial / name).replace(folder / name)
            progress.advance(len(batch))
    partial.rmdir()


def _write_shard(cuts: CutSet, folder: Path, shard: int) -> None:
    fields = {"recording": "flac"}
    with SharWriter(folder, fields, shard_size=len(cuts), shard_offset=shard) as writer:
        for cut in cuts:
            try:
                writer.write(cut)
            except OSError:  # not the fault of the audio, such as a full disk
                raise
            except Exception as error:  # Lhotse wraps backend errors in many types
                raise ValueError(
                    f"cut {cut.id}: its audio does not decode ({error}): "
                    "prepare the corpus again with --decode_audio"
                ) from error
