"""LibriTTS and LibriTTS-R: folders of chapters, each with recordings and a `*.trans.tsv`.

Lhotse's own recipe silently drops utterances that it cannot find or read; this reader reports them.
"""

from collections.abc import Sequence
from pathlib import Path

from sled.data.corpora.items import Item, Rejected, Utterance, read_lines

# In the order of the columns after the id.
TEXT_VARIANTS = ("original", "normalized")


def read_libritts(folders: Sequence[Path], text_variant: str) -> list[Item]:
    """Read the items of LibriTTS folders.

    Args:
        folders: Subsets such as LibriTTS/train-clean-100, or folders above or below them.
        text_variant: One of TEXT_VARIANTS; in normalised text, numbers are written as words.

    Raises:
        ValueError: If a folder has no transcripts.
    """
    items: list[Item] = []
    for folder in folders:
        # Archives packed on macOS hold shadow files whose names start with a dot.
        paths = [path for path in folder.rglob("*.trans.tsv") if not path.name.startswith(".")]
        if not paths:
            raise ValueError(f"no *.trans.tsv under {folder}: name a folder of LibriTTS")
        for path in sorted(paths):
            items += _read_chapter(path, text_variant)
    return items


def _read_chapter(path: Path, text_variant: str) -> list[Item]:
    items: list[Item] = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        utterance_id, *texts = line.split("\t")
        if len(texts) != len(TEXT_VARIANTS):
            detail = f"line {number} of {path} has {len(texts) + 1} columns, not 3"
            items.append(Rejected(utterance_id, "malformed", detail))
            continue
        items.append(
            Utterance(
                id=utterance_id,
                audio=path.parent / f"{utterance_id}.wav",
                text=texts[TEXT_VARIANTS.index(text_variant)],
                speaker=utterance_id.split("_")[0],
            )
        )
    return items
