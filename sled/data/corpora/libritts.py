"""LibriTTS and LibriTTS-R: folders of chapters, each with recordings and a `*.trans.tsv`.

Lhotse's own recipe drops what it cannot find or read; here all of it is in the report.
"""

from collections.abc import Sequence
from pathlib import Path

from sled.data.corpora.items import Item, Rejected, Utterance, read_lines

TEXT_VARIANTS = ("original", "normalized")  # in the order of the columns after the id


def read_libritts(folders: Sequence[Path], text_variant: str) -> list[Item]:
    """Items of LibriTTS folders.

    Args:
        folders: parts such as LibriTTS/train-clean-100, or folders above or below them.
        text_variant: which of TEXT_VARIANTS; normalised text has numbers written out.

    Raises:
        ValueError: a folder without transcripts.
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
