"""JSON lines with one object per utterance: `{"wav": "a.wav", "txt": "What it says."}`.

Other keys work, too: `audio`, `path` or `audio_path`, and `text` or `transcript`. Optional are `id`
(or `utt`, `utt_id`), `speaker` (or `spk`, `speaker_id`), `start` and `duration` (s).
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sled.data.corpora.items import Item, Utterance, read_json_lines

AUDIO_KEYS = ("wav", "audio", "path", "audio_path")
TEXT_KEYS = ("txt", "text", "transcript")
ID_KEYS, SPEAKER_KEYS = ("id", "utt", "utt_id"), ("speaker", "spk", "speaker_id")


def read_jsonl(
    manifests: Sequence[Path], audio_dir: Path | None = None, needs_text: bool = True
) -> Iterator[Item]:
    """Yield the items of JSON lines files.

    Args:
        manifests: `.jsonl` or `.jsonl.gz` files.
        audio_dir: Folder that relative paths start from. None: the folder of each manifest.
        needs_text: Whether a line without a text is malformed. Otherwise its text is empty.
    """
    for manifest in manifests:
        folder = manifest.parent if audio_dir is None else audio_dir
        yield from read_json_lines(manifest, partial(_parse, folder=folder, needs_text=needs_text))


def _parse(fields: dict[str, Any], folder: Path, needs_text: bool) -> Utterance:
    audio = Path(_string(fields, AUDIO_KEYS))
    recording_id = audio.with_suffix("").as_posix()
    start, duration = (fields.get(key) for key in ("start", "duration"))
    name, speaker = (
        next((fields[key] for key in keys if key in fields), None)
        for keys in (ID_KEYS, SPEAKER_KEYS)
    )
    # A file may hold several utterances with different starts.
    own_id = recording_id if start is None else f"{recording_id}@{start}"
    return Utterance(
        id=own_id if name is None else str(name),
        audio=folder / audio,
        text=_string(fields, TEXT_KEYS) if needs_text or fields.keys() & set(TEXT_KEYS) else "",
        start_s=0.0 if start is None else float(start),
        duration_s=None if duration is None else float(duration),
        speaker=None if speaker is None else str(speaker),
        recording_id=recording_id,
    )


def _string(fields: dict[str, Any], keys: Sequence[str]) -> str:
    """The value of the first of these keys that is present."""
    for key in keys:
        if key in fields:
            value = fields[key]
            if not isinstance(value, str):
                raise ValueError(f"its {key} is not a string")
            return value
    raise ValueError(f"it has neither {' nor '.join(keys)}")
