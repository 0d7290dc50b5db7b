"""A prepared split as Lhotse Shar: text and audio in shards that are read from end to end.

Shards hold FLAC at each recording's own sample rate and only the part that is spoken, so slow and
remote disks need not seek in long recordings.
"""

from itertools import count, islice
from pathlib import Path

from lhotse import CutSet
from lhotse.shar import SharWriter
from tqdm import tqdm

SHARD_SIZE = 1_000


def shar_folder(output_dir: Path, split: str) -> Path:
    """Where the shards of a split lie."""
    return output_dir / f"shar_{split}"


def write_shar(manifest: Path, folder: Path, shard_size: int = SHARD_SIZE) -> None:
    """Copy a split into shards; a shard appears when it is whole, and those there are kept.

    Args:
        manifest: the split, with audio paths relative to its folder.
        folder: receives `cuts.000000.jsonl.gz`, `recording.000000.tar` and so on.
        shard_size: cuts per shard.

    Raises:
        ValueError: naming a cut whose audio does not decode.
    """
    # Absolute, for Lhotse takes a name that starts with "pipe:" for a command.
    manifest, folder = manifest.absolute(), folder.absolute()
    partial = folder / "partial"
    partial.mkdir(parents=True, exist_ok=True)
    # Not `load_cuts`, which holds all cuts in memory.
    cuts = iter(CutSet.from_jsonl_lazy(manifest).with_recording_path_prefix(manifest.parent))
    with tqdm(desc=folder.name, unit="clip", disable=None) as progress:
        for shard in count():
            batch = list(islice(cuts, shard_size))
            if not batch:
                break
            names = [f"recording.{shard:06d}.tar", f"cuts.{shard:06d}.jsonl.gz"]
            if not (folder / names[-1]).is_file():
                _write_shard(CutSet.from_cuts(batch), partial, shard)
                for name in names:  # the cuts come last: they mark the shard as whole
                    (partial / name).replace(folder / name)
            progress.update(len(batch))
    partial.rmdir()


def _write_shard(cuts: CutSet, folder: Path, shard: int) -> None:
    fields = {"recording": "flac"}
    with SharWriter(folder, fields, shard_size=len(cuts), shard_offset=shard) as writer:
        for cut in cuts:
            try:
                writer.write(cut)
            except OSError:  # no fault of the audio: a full disk
                raise
            except Exception as error:  # Lhotse wraps backend errors in many types
                raise ValueError(
                    f"cut {cut.id}: its audio does not decode ({error}): "
                    "prepare the corpus again with --decode_audio"
                ) from error
