"""Libriheavy: cuts of LibriLight recordings, in the official form and in a minimal one.

The official `libriheavy_cuts_*.jsonl.gz` have two texts for each cut: that of the book, with case
and punctuation, and the transcript of a recogniser, in capitals. Minimal lines, which Lhotse's own
readers refuse, have only `id`, `start`, `duration`, one supervision with `text`, and the source of
the recording. Both are read line by line, because the largest subset has 11 million cuts.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sled.data.corpora.items import Item, Utterance, read_json_lines

# In the order of the official `texts`.
TEXT_VARIANTS = ("cased", "normalized")


def read_libriheavy(
    manifests: Sequence[Path], audio_dir: Path | None, text_variant: str
) -> Iterator[Item]:
    """Yield the items of Libriheavy manifests.

    Args:
        manifests: `.jsonl` or `.jsonl.gz` files.
        audio_dir: Folder that the paths in them start from, such as the one that holds
            `download/librilight`. None: the folder of each manifest.
        text_variant: One of TEXT_VARIANTS; the text of lines with a single text counts as "cased".
    """
    for manifest in manifests:
        folder = manifest.parent if audio_dir is None else audio_dir
        yield from read_json_lines(
            manifest, partial(_parse, folder=folder, text_variant=text_variant)
        )


def _parse(fields: dict[str, Any], folder: Path, text_variant: str) -> Utterance:
    supervision = _only(fields["supervisions"], "supervisions")
    recording = fields["recording"]
    source = _only(recording["sources"], "sources")
    kind = source.get("type", "file")
    if kind != "file":  # Lhotse's other types run commands or open URLs
        raise ValueError(f"audio from a {kind}, not a file")
    speaker = supervision.get("speaker")
    return Utterance(
        id=str(fields["id"]),
        audio=folder / source["source"],
        text=_pick_text(supervision, text_variant),
        start_s=float(fields["start"]),
        duration_s=float(fields["duration"]),
        speaker=None if speaker is None else str(speaker),
        recording_id=str(recording.get("id", Path(source["source"]).with_suffix(""))),
    )


def _only(values: Any, name: str) -> dict[str, Any]:
    if not isinstance(values, list) or len(values) != 1 or not isinstance(values[0], dict):
        raise ValueError(f"{name} is not a list with a single object")
    return values[0]


def _pick_text(supervision: dict[str, Any], variant: str) -> str:
    texts = (supervision.get("custom") or {}).get("texts")
    if texts is None:
        if variant != TEXT_VARIANTS[0]:
            raise ValueError(f"it has no second text: use --text {TEXT_VARIANTS[0]}")
        texts = [supervision["text"]]
    text = texts[TEXT_VARIANTS.index(variant)]
    if not isinstance(text, str):
        raise ValueError("its text is not a string")
    return text
