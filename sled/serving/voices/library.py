"""The voices of a server by name: the model's, voice files in a folder, uploads, and presets.

A name that a client gives is looked up here and never becomes a path. Uploaded voices are files
whose names are ids; what is known of them is in the metadata of the file, so that they are there
again after a restart. Several servers may share a folder: each sees what the others have uploaded
and deleted.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, ValuesView
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError, safe_open

from sled.files.whole import write_whole
from sled.serving.encoding import MAX_SPEED, MIN_SPEED
from sled.serving.errors import ApiError
from sled.serving.settings import OPENAI_VOICES
from sled.serving.voices.presets import NO_PRESET, Preset
from sled.serving.voices.watched_folder import WatchedFolder
from sled.streaming.voice import Voice
from sled.tts import TTS

logger = logging.getLogger(__name__)

SUFFIX = ".safetensors"
# Where the metadata of a voice file says that, and by whom, it was uploaded.
RECORD = "upload"
# Each may hold 100 MB of keys and values of a recording.
MAX_LOADED = 16
MAX_UPLOADED = 1000


class UploadRecord(BaseModel):
    """What is known of an uploaded voice.

    Attributes:
        name: The name that clients give.
        created_at: When it was made, in seconds since 1970.
        key: Name of the key with which it was made.
        consent: The statement of whoever uploaded it, or the id of a recorded consent.
        sample_sha256: Digest of the file with the recording.
        language: BCP 47.
        description: Of the speaker.
    """

    name: str
    created_at: int
    key: str
    consent: str
    sample_sha256: str
    language: str = "en"
    description: str = ""


@dataclass(frozen=True)
class VoiceEntry:
    """A voice that clients can name.

    Attributes:
        name: Its name.
        path: Its file. None: it came with the model.
        id: Another name of it, which is never given again.
        record: What is known of an upload. None: it was not uploaded.
        preset: The settings that come with the name.
        of_model: Whether it is one of `TTS.voices`.
    """

    name: str
    path: Path | None = None
    id: str = ""
    record: UploadRecord | None = None
    preset: Preset = NO_PRESET
    of_model: bool = False

    def pace(self, speed: float) -> float:
        """The speed of this voice, if a request asks for a speed."""
        return min(MAX_SPEED, max(MIN_SPEED, speed * self.preset.speed))


class VoiceLibrary(Mapping[str, VoiceEntry]):
    """Voices by name; the model's own is the first.

    Args:
        tts: The model.
        own: Name of the model's own voice.
        folder: Holds voice files.
        presets: Names that stand for a voice and settings.

    Raises:
        ValueError: If a preset names no voice.
    """

    def __init__(self, tts: TTS, own: str, folder: Path, presets: Mapping[str, Preset]) -> None:
        self._tts, self._folder = tts, WatchedFolder(folder)
        self._own = VoiceEntry(own, id=own)
        self._known = {own: self._own}
        for name in tts.voices:
            self._known.setdefault(name, VoiceEntry(name, id=name, of_model=True))
        self._left_out: dict[Path, int] = {}  # with the time of their last change
        self._loaded: OrderedDict[str | Path, Voice] = OrderedDict()
        self._loading = asyncio.Lock()
        self._presets = dict(presets)
        there = {None, *self._entries}
        for name, preset in presets.items():
            if preset.voice not in there:
                raise ValueError(f"preset {name!r} names a voice that is not there: see --voices")

    @property
    def _entries(self) -> dict[str, VoiceEntry]:
        """The voices without the presets, as the folder holds them now."""
        if self._folder.has_changed() or self._has_late_file():
            there = set(self._folder.path.glob(f"*{SUFFIX}"))
            self._left_out = {path: at for path, at in self._left_out.items() if path in there}
            for entry in list(self._known.values()):
                if entry.path is not None and entry.path not in there:
                    self._forget(entry)
            known = {entry.path for entry in self._known.values()}
            for path in sorted(there - known):
                self._add_file(path)
        return self._known

    def _has_late_file(self) -> bool:
        """Whether a file that was left out has changed, as one that was being copied."""
        return any(_changed_ns(path) != at for path, at in self._left_out.items())

    def _add_file(self, path: Path) -> None:
        changed_ns = _changed_ns(path)
        if self._left_out.get(path) == changed_ns:
            return
        self._left_out[path] = changed_ns
        try:
            record = _read_record(path)
        except (ValueError, OSError, SafetensorError) as error:
            logger.warning("%s is no voice file (%s): it is left out", path, error)
            return
        del self._left_out[path]
        name = path.stem if record is None else record.name
        if name in self._known:
            logger.warning("%s: there is another voice %r: it is found by its id", path, name)
            name = path.stem
        self._known[name] = VoiceEntry(name, path, path.stem, record)

    def _forget(self, entry: VoiceEntry) -> None:
        self._known.pop(entry.name, None)
        if entry.path is not None:
            self._loaded.pop(entry.path, None)

    # By name.

    def _named(self) -> dict[str, VoiceEntry]:
        """The voices and the presets by name. A preset whose voice was deleted is left out."""
        entries = self._entries
        named = dict(entries)
        for name, preset in self._presets.items():
            entry = self._own if preset.voice is None else entries.get(preset.voice)
            if entry is not None:
                # It is no upload itself: deleting it must not delete the voice.
                named[name] = replace(entry, name=name, record=None, preset=preset)
        return named

    def _listed(self) -> dict[str, VoiceEntry]:
        """The same without presets of OpenAI's names."""
        return {
            name: entry
            for name, entry in self._named().items()
            if entry.preset is NO_PRESET or name not in OPENAI_VOICES
        }

    def __getitem__(self, name: str) -> VoiceEntry:
        """The voice of a name or an id."""
        if (named := self._named().get(name)) is not None:
            return named
        for entry in self._known.values():
            if entry.id == name:
                return entry
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        """The names; presets of OpenAI's names are left out."""
        return iter(self._listed())

    def __len__(self) -> int:
        return len(self._listed())

    def values(self) -> ValuesView[VoiceEntry]:
        """The voices, with one look at the folder for all of them."""
        return self._listed().values()

    def find(self, name: str | None) -> VoiceEntry:
        """The voice of a name; None and OpenAI's names stand for the model's own voice.

        Raises:
            ApiError: `voice_not_found`.
        """
        if name is not None and (entry := self.get(name)) is not None:
            return entry
        if name is None or name in OPENAI_VOICES:
            return self._own
        known = ", ".join(self)
        mixed = "voices cannot be mixed" if "+" in name else f"there is no voice {name!r}"
        raise ApiError("voice_not_found", f"{mixed}: choose one of {known}", "voice")

    # Uploads.

    @property
    def uploaded(self) -> list[VoiceEntry]:
        """The uploaded voices, in the order of their making."""
        found = [entry for entry in self._entries.values() if entry.record is not None]
        return sorted(found, key=lambda entry: entry.record.created_at if entry.record else 0)

    def check_name(self, name: str) -> None:
        """Check that a new voice can have a name.

        Raises:
            ApiError: `voice_exists`, or `storage_full`.
        """
        if name in self or name in OPENAI_VOICES:
            raise ApiError(
                "voice_exists", f"there is a voice {name!r}: choose another name", "name"
            )
        if len(self.uploaded) >= MAX_UPLOADED:
            raise ApiError("storage_full", f"there are {MAX_UPLOADED} voices: delete some first")

    def save(self, voice: Voice, record: UploadRecord) -> VoiceEntry:
        """Write the file of a new voice; on any thread.

        Raises:
            ApiError: `storage_full` if the file cannot be written.
        """
        path = self._folder.path / f"voice_{secrets.token_hex(12)}{SUFFIX}"
        notes = {RECORD: record.model_dump_json()}
        try:
            write_whole(path, lambda part: self._tts.save_voice(voice, part, notes))
        except (OSError, SafetensorError) as error:
            logger.error("a voice could not be written: %s", error)
            raise ApiError("storage_full", "the voice could not be written: see the log") from error
        return VoiceEntry(record.name, path, path.stem, record)

    def add(self, entry: VoiceEntry) -> None:
        """Make a voice that has been saved known."""
        known = next((one for one in self._known.values() if one.path == entry.path), entry)
        self._known[known.name] = known
        logger.info("voice %s was made with key %r", entry.id, entry.record and entry.record.key)

    def remove(self, entry: VoiceEntry) -> None:
        """Delete an uploaded voice. Sessions that speak with it go on."""
        assert entry.path is not None
        self._forget(entry)
        entry.path.unlink(missing_ok=True)
        logger.info("voice %s was deleted", entry.id)

    # Voices in memory.

    async def load(self, entry: VoiceEntry, instruction: str | None = None) -> Voice | None:
        """The voice of an entry; None: the model's own.

        Args:
            entry: The entry.
            instruction: What it is to follow. None: nothing.

        Raises:
            ValueError: If its file is missing or broken, or belongs to another model, or the model
                follows no instructions.
        """
        voice = None
        if entry.path is not None or entry.of_model:
            voice = await self._load(entry)
        if instruction is None:
            return voice
        return await asyncio.to_thread(self._tts.make_voice, voice, None, instruction)

    async def _load(self, entry: VoiceEntry) -> Voice:
        source = entry.path or entry.id
        async with self._loading:
            voice = self._loaded.pop(source, None)
            if voice is None:
                voice = await asyncio.to_thread(self._read, source)
            self._loaded[source] = voice
            if len(self._loaded) > MAX_LOADED:
                self._loaded.popitem(last=False)
        return voice

    def _read(self, source: Path | str) -> Voice:
        """The voice in a file, or of the model's voices that of a name."""
        load, make = self._tts.load_voice, self._tts.make_voice
        return load(source) if isinstance(source, Path) else make(source)

    @property
    def num_loaded(self) -> int:
        """Voices in memory."""
        return len(self._loaded)


def make_record(
    name: str, key: str, consent: str, digest: str, language: str, description: str
) -> UploadRecord:
    """What is known of a voice that is made now."""
    return UploadRecord(
        name=name,
        created_at=int(time.time()),
        key=key,
        consent=consent,
        sample_sha256=digest,
        language=language,
        description=description,
    )


def _changed_ns(path: Path) -> int:
    """When a file was changed last; 0 if it has gone."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _read_record(path: Path) -> UploadRecord | None:
    """What a voice file says about its upload; None if it was not uploaded.

    Raises:
        ValueError: If it is damaged.
        OSError: If it cannot be read.
        SafetensorError: If it is no file of tensors.
    """
    with safe_open(str(path), "pt") as file:
        metadata = file.metadata() or {}
    if RECORD not in metadata:
        return None
    try:
        return UploadRecord.model_validate_json(metadata[RECORD])
    except ValidationError as error:
        raise ValueError("the record of its upload is damaged") from error
