"""Synthesis of corpora: readings become FLAC files and cut manifests.

An interrupted run continues where it stopped: audio files appear only when complete and are kept,
manifests are written last.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from lhotse.audio import AudioSource

from sled.data.manifests import save_cuts
from sled.data.synthetic.teachers import SAMPLE_RATE
from sled.files.audio import write_audio
from sled.files.json_object import read_json_object
from sled.files.progress import Progress

_SETTINGS_FILE = "settings.json"
# Of settings: digests of what files hold.
CONTENTS = "contents"


@dataclass(frozen=True)
class Reading:
    """Content of one audio file.

    Attributes:
        id: Id of the cut, and name of the file.
        parts: Texts that are read in sequence.
        speaker: Name of the speaker.
    """

    id: str
    parts: tuple[str, ...]
    speaker: str

    @property
    def text(self) -> str:
        """The whole text."""
        return " ".join(self.parts)

    def seed(self, corpus_seed: int) -> int:
        """A seed that depends only on the seed of the corpus and the id."""
        return zlib.crc32(f"{corpus_seed}/{self.id}".encode())


def is_complete(
    output_dir: Path, settings: Mapping[str, object], manifests: Iterable[Path]
) -> bool:
    """Whether a folder holds the whole corpus with these settings.

    Args:
        output_dir: The folder.
        settings: What the corpus is made from. `CONTENTS` may hold digests of input files by name.
        manifests: All manifests of the corpus.

    Raises:
        ValueError: If it holds a corpus made with other settings.
    """
    settings_file = output_dir / _SETTINGS_FILE
    if not settings_file.exists():
        return False
    recorded, wanted = read_json_object(settings_file), json.loads(json.dumps(settings))
    if CONTENTS not in recorded:  # written by an older version
        wanted.pop(CONTENTS, None)
    if differences := _differences(recorded, wanted):
        raise ValueError(
            f"{output_dir} holds a corpus made with other settings ({_SETTINGS_FILE}: "
            f"{', '.join(differences)}): name another folder or delete this one"
        )
    complete = all(manifest.exists() for manifest in manifests)
    if not complete and CONTENTS in settings and CONTENTS not in recorded:
        raise ValueError(
            f"{output_dir} holds the beginning of a corpus of an older version, which drew other "
            "texts: name another folder or delete this one"
        )
    return complete


def _differences(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """What differs in settings; of their contents, which."""
    names = [
        name
        for name in dict.fromkeys([*wanted, *recorded])
        if name != CONTENTS and recorded.get(name) != wanted.get(name)
    ]
    before, now = (settings.get(CONTENTS, {}) for settings in (recorded, wanted))
    changed = [name for name in now if before.get(name) != now[name] and name not in names]
    return [*names, *(f"the contents of {name}" for name in changed)]


def start_corpus(output_dir: Path, settings: Mapping[str, object]) -> None:
    """Create the folder of a corpus and record its settings."""
    (output_dir / "audio").mkdir(parents=True, exist_ok=True)
    text = json.dumps(settings) + "\n"
    (output_dir / _SETTINGS_FILE).write_text(text, encoding="utf-8")


def synthesize_readings(
    readings: Sequence[Reading],
    speak: Callable[[Reading], np.ndarray],
    output_dir: Path,
    manifest: Path,
) -> None:
    """Synthesise the readings whose audio files are missing, and write their manifest.

    Args:
        readings: The readings in the order of the manifest.
        speak: Synthesises one reading: waveform [S] at 24 kHz.
        output_dir: The folder, from `start_corpus`.
        manifest: Path of the manifest, in that folder.
    """
    cuts, spoken_s = [], 0.0
    with Progress(manifest.name.split(".")[0], len(readings), "clip") as progress:
        for reading in readings:
            audio = Path("audio") / f"{reading.id}.flac"
            if not (output_dir / audio).exists():
                write_audio(output_dir / audio, speak(reading), SAMPLE_RATE)
            cuts.append(_make_cut(reading, output_dir, audio))
            spoken_s += cuts[-1].duration
            progress.advance(note=f"{spoken_s / 3600:.2f} h of speech")
    save_cuts(CutSet.from_cuts(cuts), manifest)


def _make_cut(reading: Reading, root: Path, audio: Path) -> MonoCut:
    """A cut of one reading; the path `audio` is relative to `root`."""
    num_samples = soundfile.info(root / audio).frames
    duration = num_samples / SAMPLE_RATE
    recording = Recording(
        id=reading.id,
        sources=[AudioSource(type="file", channels=[0], source=audio.as_posix())],
        sampling_rate=SAMPLE_RATE,
        num_samples=num_samples,
        duration=duration,
    )
    supervision = SupervisionSegment(
        id=reading.id,
        recording_id=reading.id,
        start=0.0,
        duration=duration,
        text=reading.text,
        language="English",
        speaker=reading.speaker,
    )
    return MonoCut(
        id=reading.id,
        start=0.0,
        duration=duration,
        channel=0,
        recording=recording,
        supervisions=[supervision],
    )
