"""Protocols: what is said, with which prompts, and how it is judged, as data that has a digest.

A protocol is a YAML file. Those in sled/evaluation/protocols/ are known by their names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from sled.data.manifests import load_cuts
from sled.evaluation.items import (
    Clip,
    Item,
    file_clip,
    item_of_cut,
    read_clip,
    with_beginning_as_prompt,
)
from sled.evaluation.lists import read_cross_sentence_list, read_seed_tts_list
from sled.files.suggest import did_you_mean

FOLDER = Path(__file__).parent / "protocols"
PROMPTS = ("none", "listed", "beginning")
PROMPT_S = 3.0


@dataclass(frozen=True)
class Protocol:
    """How a test is made. All fields but `about` and `needs` are part of the experiment's digest.

    Attributes:
        name: Its name.
        items: Where the items come from: one of the keys of `READERS` with a file or the items
            themselves, and fields that select some of them (see `_select`).
        about: What it is for.
        needs: What users have to download, and from where.
        normaliser: How texts are divided into words, one of `sled.evaluation.wordings.WORDINGS`;
            "auto": digits if all texts are strings of digits, else English.
        prompt: One of PROMPTS: none; as listed with the items; or the beginning of the item's own
            recording.
        prompt_s: Length of such a beginning in seconds.
        modes: What is compared by default, of `sled.evaluation.modes.MODES`.
        seeds: How often each system speaks all items.
        judges: Settings of the judges, as `sled.evaluation.judges.load_judges` takes them.
    """

    name: str
    items: Mapping[str, Any]
    about: str = ""
    needs: str = ""
    normaliser: str = "auto"
    prompt: str = "none"
    prompt_s: float = PROMPT_S
    modes: Sequence[str] = ("teacher", "codec", "offline", "stream")
    seeds: int = 3
    judges: Mapping[str, Any] = field(default_factory=dict)

    def digest(self, items: Sequence[Item], judges: Sequence[str]) -> str:
        """Return what names the experiment: 12 hexadecimal digits.

        Args:
            items: The items that are used.
            judges: Names and versions of the judges.
        """
        fields = {
            name: value
            for name, value in asdict(self).items()
            if name not in ("about", "needs", "items", "judges", "modes", "seeds")
        }
        fields["judges"] = list(judges)
        fields["items"] = [
            [item.id, item.text, *item.said, item.kind, item.prompt and item.prompt.name]
            for item in items
        ]
        text = json.dumps(fields, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def protocol_names() -> list[str]:
    """Names of the protocols that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_protocol(name_or_path: str) -> tuple[Protocol, Path]:
    """Read a protocol, and return it with the folder that its files are in by default.

    Args:
        name_or_path: A name of `protocol_names`, or a YAML file.

    Raises:
        ValueError: If there is none, or it is broken.
    """
    path = Path(name_or_path)
    if not path.is_file():
        path = FOLDER / f"{name_or_path}.yaml"
    if not path.is_file():
        names = protocol_names()
        raise ValueError(
            f"no protocol {name_or_path}{did_you_mean(name_or_path, names)}: give a YAML file or "
            f"one of {', '.join(names)}"
        )
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
        protocol = Protocol(**{"name": path.stem, **fields})
    except (yaml.YAMLError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a protocol ({error})") from error
    if protocol.prompt not in PROMPTS:
        raise ValueError(f"{path}: prompt {protocol.prompt!r}: choose one of {', '.join(PROMPTS)}")
    return protocol, path.parent


def manifest_protocol(path: str) -> Protocol:
    """The protocol of a cut manifest: each transcript is said, without classes and prompts."""
    return Protocol(Path(path).name.split(".")[0], {"manifest": path})


def texts_protocol(path: str) -> Protocol:
    """The protocol of a cut manifest, or of a text file with a text on each line."""
    if path.endswith((".jsonl", ".jsonl.gz")):
        return manifest_protocol(path)
    return Protocol(Path(path).stem, {"lines": path})


def read_items(protocol: Protocol, folder: Path, limit: int | None = None) -> list[Item]:
    """Read the items of a protocol.

    Args:
        protocol: The protocol.
        folder: The folder that its paths start from.
        limit: Use only this many, from the start. None: all.

    Raises:
        ValueError: If a file is missing or broken, ids are not unique, or nothing is left.
    """
    source = dict(protocol.items)
    kinds = sorted(source.keys() & READERS.keys())
    if len(kinds) != 1:
        raise ValueError(f"{protocol.name}: items need one of {', '.join(READERS)}, got {kinds}")
    items = READERS[kinds[0]](source, folder)
    items = _select(items, source)
    if protocol.prompt == "beginning":
        continued = (with_beginning_as_prompt(item, protocol.prompt_s) for item in items)
        items = [item for item in continued if item is not None]
    elif protocol.prompt == "none":
        items = [replace(item, prompt=None) for item in items]
    items = items[:limit]
    if not items:
        needs = protocol.needs or "check its files"
        raise ValueError(f"{protocol.name}: there is no item; {needs}")
    if len({item.id for item in items}) < len(items):
        raise ValueError(f"{protocol.name}: two items have the same id: rename one")
    for item in items:  # ids are also names of files
        if Path(item.id).is_absolute() or ".." in Path(item.id).parts or not item.id.strip():
            raise ValueError(f"{protocol.name}: the id {item.id!r} cannot be the name of a file")
    return items


def _select(items: list[Item], source: Mapping[str, Any]) -> list[Item]:
    """Apply the fields that select items: durations in seconds, texts once, every n-th one."""
    shortest, longest = source.get("min_s", 0.0), source.get("max_s", float("inf"))
    if "min_s" in source or "max_s" in source:
        items = [
            item
            for item in items
            if item.recording is not None
            and shortest <= (item.recording.duration_s or 0.0) <= longest
        ]
    if source.get("each_text_once"):
        items = list({item.text: item for item in reversed(items)}.values())[::-1]
    items = items[source.get("skip", 0) :: source.get("every", 1)]
    return items[: source.get("first")]


def _file(source: Mapping[str, Any], key: str, folder: Path) -> Path:
    path: Path = folder / source[key]
    if not path.exists():
        raise ValueError(f"no file {path}: download it, and name its folder with --data")
    return path


def _read_texts(source: Mapping[str, Any], folder: Path) -> list[Item]:
    """Items whose texts are in the protocol: lists of texts, or of text and readings, by class."""
    items = []
    for kind, entries in source["texts"].items():
        for number, entry in enumerate(entries, start=1):
            text, *said = [entry] if isinstance(entry, str) else entry
            name = f"{kind}/{number:02d}" if kind else f"{number:02d}"
            items.append(Item(name, text, tuple(said), str(kind)))
    return items


def _read_lines(source: Mapping[str, Any], folder: Path) -> list[Item]:
    """Items of a text file with a text on each line."""
    lines = _file(source, "lines", folder).read_text(encoding="utf-8").splitlines()
    return [Item(f"{n:04d}", line.strip()) for n, line in enumerate(lines, 1) if line.strip()]


def _read_manifest(source: Mapping[str, Any], folder: Path) -> list[Item]:
    return [item_of_cut(cut) for cut in load_cuts(folder / source["manifest"])]


def _read_jsonl(source: Mapping[str, Any], folder: Path) -> list[Item]:
    """Items of JSON lines: id, text, audio, duration, speaker, kind, said, prompt_audio, ..."""
    path = _file(source, "jsonl", folder)
    items = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
            text = fields["text"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: no object with a text ({error})") from error
        recording = prompt = None
        if "audio" in fields:
            name, is_part = fields["audio"], "start" in fields
            start_s, duration_s = float(fields.get("start", 0.0)), fields.get("duration")
            load = partial(read_clip, path.parent / name, start_s, duration_s if is_part else None)
            name = f"{name}@{start_s:g}" if is_part else name
            recording = Clip(name, load, text, duration_s)
        if "prompt_audio" in fields:
            prompt = file_clip(
                path.parent / fields["prompt_audio"],
                fields["prompt_text"],
                name=fields["prompt_audio"],
            )
        said = fields.get("said", [])
        items.append(
            Item(
                str(fields.get("id", f"{number:05d}")),
                text,
                (said,) if isinstance(said, str) else tuple(said),
                str(fields.get("kind", "")),
                fields.get("speaker", source.get("speaker")),
                recording,
                prompt,
            )
        )
    return items


def _read_cross_sentence(source: Mapping[str, Any], folder: Path) -> list[Item]:
    path = _file(source, "cross_sentence_list", folder)
    return read_cross_sentence_list(path, folder / source["recordings"])


def _read_seed_tts(source: Mapping[str, Any], folder: Path) -> list[Item]:
    return read_seed_tts_list(_file(source, "seed_tts_list", folder))


READERS: dict[str, Callable[[Mapping[str, Any], Path], list[Item]]] = {
    "texts": _read_texts,
    "lines": _read_lines,
    "manifest": _read_manifest,
    "jsonl": _read_jsonl,
    "cross_sentence_list": _read_cross_sentence,
    "seed_tts_list": _read_seed_tts,
}
"""Readers of items, by the key that names their source in a protocol."""
