"""Corpora that are read for the purpose: who reads what becomes FLAC files and cut manifests.

A run that was interrupted goes on where it stopped: audio files appear only when complete and are
kept, manifests come last.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from lhotse.audio import AudioSource
from tqdm import tqdm

from sled.data.manifests import save_cuts
from sled.data.synthetic.teachers import SAMPLE_RATE
from sled.files.audio import write_audio

_SETTINGS_FILE = "settings.json"


@dataclass(frozen=True)
class Reading:
    """What one audio file is to hold.

    Attributes:
        id: Of the cut, and the name of the file.
        parts: Texts that are read one after the other.
        speaker: Who reads them.
    """

    id: str
    parts: tuple[str, ...]
    speaker: str

    @property
    def text(self) -> str:
        return " ".join(self.parts)

    def seed(self, corpus_seed: int) -> int:
        """A seed of its own, whatever else is in the corpus."""
        return zlib.crc32(f"{corpus_seed}/{self.id}".encode())


def is_complete(
    output_dir: Path, settings: Mapping[str, object], manifests: Iterable[Path]
) -> bool:
    """Whether a folder holds all of the corpus with these settings.

    Raises:
        ValueError: it holds one that was made with others.
    """
    settings_file = output_dir / _SETTINGS_FILE
    if not settings_file.exists():
        return False
    if json.loads(settings_file.read_text(encoding="utf-8")) != json.loads(json.dumps(settings)):
        raise ValueError(
            f"{output_dir} holds a corpus made with other settings ({_SETTINGS_FILE}): "
            "name another folder or delete this one"
        )
    return all(manifest.exists() for manifest in manifests)


def begin(output_dir: Path, settings: Mapping[str, object]) -> None:
    """Make a folder ready to record to."""
    (output_dir / "audio").mkdir(parents=True, exist_ok=True)
    text = json.dumps(settings) + "\n"
    (output_dir / _SETTINGS_FILE).write_text(text, encoding="utf-8")


def record(
    readings: Sequence[Reading],
    speak: Callable[[Reading], np.ndarray],
    output_dir: Path,
    manifest: Path,
) -> None:
    """Have readings spoken, as far as they have not been, and write their manifest.

    Args:
        readings: In the order of the manifest.
        speak: Gives the waveform [S] at 24 kHz of one.
        output_dir: From `begin`.
        manifest: Path of the manifest, in that folder.
    """
    cuts, spoken_s = [], 0.0
    with tqdm(readings, manifest.name.split(".")[0], unit="clip", disable=None) as progress:
        for reading in progress:
            audio = Path("audio") / f"{reading.id}.flac"
            if not (output_dir / audio).exists():
                write_audio(output_dir / audio, speak(reading), SAMPLE_RATE)
            cuts.append(_make_cut(reading, output_dir, audio))
            spoken_s += cuts[-1].duration
            progress.set_postfix_str(f"{spoken_s / 3600:.2f} h of speech", refresh=False)
    save_cuts(CutSet.from_cuts(cuts), manifest)


def _make_cut(reading: Reading, root: Path, audio: Path) -> MonoCut:
    """One utterance of the manifest; `audio` is relative to `root`."""
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
