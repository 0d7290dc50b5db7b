"""A run: systems speak the items of a protocol, and judges hear them.

Everything is kept in the folder of the run, batch by batch. A run that was killed goes on with the
first batch that is missing; since batches are always the same, so are the results.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from sled.evaluation.items import Item
from sled.evaluation.journal import Journal, Record
from sled.evaluation.judges.base import Heard, Judge
from sled.evaluation.protocol import Protocol
from sled.evaluation.systems.base import System, Utterance
from sled.files.audio import write_audio
from sled.files.progress import Progress
from sled.files.whole import write_whole

logger = logging.getLogger(__name__)

RUN_FILE = "run.json"
# Seeds of the repetitions of one text are this far apart; those of texts follow each other.
SEED_STRIDE = 1000
JUDGED_AT_ONCE = 16


@dataclass(frozen=True)
class RunSettings:
    """How a run is made.

    Attributes:
        repetitions: How often each system speaks all items.
        first_seed: Seed of the first item in the first repetition.
        batch_size: Items spoken at once.
    """

    repetitions: int = 3
    first_seed: int = 0
    batch_size: int = 1

    def seed(self, repetition: int, index: int) -> int:
        """The seed of an item."""
        return self.first_seed + SEED_STRIDE * repetition + index


class Run:
    """The folder of a run.

    Args:
        folder: The folder; it is made if need be.
        protocol: The protocol.
        items: Its items.
        judges: They hear every system.
        settings: How it is made.

    Attributes:
        made: What was judged and how, apart from the systems; stored in `run.json`.
        systems: Settings of each system so far, by its name; stored there, too.
        spoken: What is known of each utterance.
        judged: The figures of each judge for each utterance.
        judging_s: How long judging took in this process.
        judges_s: How much of it the judges took.

    Raises:
        ValueError: If the folder holds a run of another protocol, or made in another way.
    """

    def __init__(
        self,
        folder: Path,
        protocol: Protocol,
        items: Sequence[Item],
        judges: Sequence[Judge],
        settings: RunSettings,
    ) -> None:
        self.folder, self.protocol, self.items = folder, protocol, list(items)
        self.judges, self.settings = list(judges), settings
        versions = [f"{judge.name}: {judge.version}" for judge in judges]
        self.digest = protocol.digest(items, versions)
        made: dict[str, Any] = {
            "protocol": protocol.name,
            "digest": self.digest,
            "judges": versions,
            "normaliser": protocol.normaliser,
            "items": len(self.items),
            "settings": asdict(settings),
        }
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / RUN_FILE
        self.systems: dict[str, dict[str, Any]] = {}
        if path.is_file():
            before = json.loads(path.read_text(encoding="utf-8"))
            self.systems = before.pop("systems", {})
            for name, value in made.items():
                if before.get(name) != value:
                    raise ValueError(
                        f"{folder} holds another run, with {name} {before.get(name)!r} and not "
                        f"{value!r}: name another folder with --output, or delete it"
                    )
        self.made = made
        self.spoken = Journal(folder / "speech.jsonl", ("system", "repetition", "id"))
        self.judged = Journal(folder / "judgements.jsonl", ("system", "repetition", "id", "judge"))
        self.judging_s = self.judges_s = 0.0

    def repetitions(self, system: str) -> range:
        """The repetitions of a system, which may be fewer if a seed makes no difference to it."""
        return range(self.systems[system]["repetitions"])

    def is_complete(self, system: str) -> bool:
        """Whether a system has spoken all items, and all judges have heard them."""
        return all(
            (system, repetition, item.id, judge.name) in self.judged
            for repetition in self.repetitions(system)
            for item in self.items
            for judge in self.judges
        )

    def audio_path(self, system: str, repetition: int, item_id: str) -> Path:
        """The audio file of an utterance."""
        return self.folder / "audio" / system / str(repetition) / f"{item_id}.flac"

    def add(self, system: System) -> None:
        """Let a system speak all items, and judge it, except for what has been done before.

        Raises:
            ValueError: If the folder holds speech of a system of that name with other settings, or
                the system cannot speak.
        """
        described = json.loads(json.dumps(system.settings(), default=str))
        described["repetitions"] = self.settings.repetitions if system.uses_seed else 1
        before = self.systems.get(system.name)
        has_spoken = any(one["system"] == system.name for one in self.spoken)
        if before is not None and before != described and has_spoken:
            changed = sorted(
                name
                for name in before.keys() | described.keys()
                if before.get(name) != described.get(name)
            )
            raise ValueError(
                f"{self.folder} holds speech of {system.name} with another {', '.join(changed)}: "
                "name another folder with --output, or delete it"
            )
        self.systems[system.name] = described
        described_run = {**self.made, "systems": self.systems}
        text = json.dumps(described_run, indent=2, ensure_ascii=False) + "\n"
        write_whole(self.folder / RUN_FILE, lambda path: path.write_text(text, encoding="utf-8"))
        self._speak(system)
        self._judge(system)

    def _batches(self, size: int) -> Iterator[tuple[int, list[Item]]]:
        """Yield the index of the first item of each batch, and its items."""
        for first in range(0, len(self.items), size):
            yield first, self.items[first : first + size]

    def _speak(self, system: System) -> None:
        name, repetitions = system.name, self.repetitions(system.name)
        size = min(self.settings.batch_size, system.max_batch or self.settings.batch_size)
        total = len(self.items) * len(repetitions)
        with Progress(f"{name} speaks", total, "text") as progress:
            for repetition in repetitions:
                for first, items in self._batches(size):
                    if not all((name, repetition, item.id) in self.spoken for item in items):
                        seeds = [
                            self.settings.seed(repetition, first + offset)
                            for offset in range(len(items))
                        ]
                        utterances = system.speak(items, seeds)
                        assert len(utterances) == len(items)
                        self.spoken.append(
                            self._keep(name, repetition, seed, item, utterance)
                            for seed, item, utterance in zip(seeds, items, utterances, strict=True)
                        )
                    progress.advance(len(items))

    def _keep(
        self, system: str, repetition: int, seed: int, item: Item, utterance: Utterance
    ) -> Record:
        """Write an utterance, and return what is known of it."""
        path = self.audio_path(system, repetition, item.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        if len(utterance.audio):  # a file without samples cannot be read
            write_audio(path, utterance.audio, utterance.sample_rate)
        return {
            "system": system,
            "repetition": repetition,
            "id": item.id,
            "seed": seed,
            "sample_rate": utterance.sample_rate,
            "stopped": utterance.stopped,
            "synthesis_s": utterance.synthesis_s,
            "first_audio_s": utterance.first_audio_s,
            "stalls": utterance.stalls,
            "joints": list(utterance.joints),
        }

    def _judge(self, system: System) -> None:
        name, repetitions, start = system.name, self.repetitions(system.name), time.perf_counter()
        total = len(self.items) * len(repetitions)
        with Progress(f"{name} is judged", total, "text") as progress:
            for repetition in repetitions:
                for _, items in self._batches(JUDGED_AT_ONCE):
                    self._judge_batch(name, repetition, items)
                    progress.advance(len(items))
        self.judging_s += time.perf_counter() - start

    def _judge_batch(self, system: str, repetition: int, items: Sequence[Item]) -> None:
        heard: list[Heard] | None = None
        for judge in self.judges:
            if all((system, repetition, item.id, judge.name) in self.judged for item in items):
                continue
            if heard is None:
                heard = [self._hear(system, repetition, item) for item in items]
            start = time.perf_counter()
            figures = judge.judge(heard)
            self.judges_s += time.perf_counter() - start
            self.judged.append(
                {
                    "system": system,
                    "repetition": repetition,
                    "id": item.id,
                    "judge": judge.name,
                    "figures": one,
                }
                for item, one in zip(items, figures, strict=True)
            )

    def _hear(self, system: str, repetition: int, item: Item) -> Heard:
        """Read an utterance from its file, so that the judges hear the same in every run."""
        path = self.audio_path(system, repetition, item.id)
        record = self.spoken[system, repetition, item.id]
        audio = np.zeros(0, np.float32)
        if path.is_file():
            audio, _ = soundfile.read(path, dtype="float32")
        joints = tuple(record["joints"])
        return Heard(item, audio, record["sample_rate"], joints, record["stopped"])

    def figures_of(self, system: str, repetition: int, item_id: str) -> dict[str, Any]:
        """All that the judges wrote down of an utterance."""
        figures: dict[str, Any] = {}
        for judge in self.judges:
            key = (system, repetition, item_id, judge.name)
            if key in self.judged:
                figures |= self.judged[key]["figures"]
        return figures
