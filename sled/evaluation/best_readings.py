"""A model's best readings of texts, as a corpus to train it on: best-of-n distillation.

The model reads each text several times, and a judge rewards each reading. The best one of each text
becomes part of a cached corpus, with the times at which the model said its words, if it tells.
Training on it moves the model towards what the judge prefers (Stiennon et al. 2020 compare this
best-of-n policy with reinforcement learning; Touvron et al. 2023 train on it, as "rejection
sampling fine-tuning").

The folder is that of a cached corpus (`sled.data.cache.shards`), and beside each shard:

    best_readings.json       the record: what the readings were made from
    readings.000000.jsonl    all readings of the texts of the first shard, with their rewards
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from lhotse import MonoCut, Recording, SupervisionSegment
from torch import Tensor

from sled.codec import Codec
from sled.data.alignment.spoken_tokens import with_times_of_tokens
from sled.data.cache import records
from sled.data.cache.codes import new_record
from sled.data.cache.shards import claim, missing_shards
from sled.data.cache.writing import write_shard
from sled.decoding import DecodingOptions, Generated, Request, generate, make_tracker
from sled.evaluation.items import Item
from sled.evaluation.judges import Heard
from sled.evaluation.rewards import Reward
from sled.evaluation.statistics import Estimate, estimate
from sled.files.progress import Progress
from sled.model.layout import Layout
from sled.tts import TTS

_RECORD = "best_readings.json"


@dataclass(frozen=True)
class ReadingSettings:
    """How texts are read.

    Attributes:
        readings: Readings of each text, at least 2.
        offline_share: Share of the readings of a text that a streaming model makes in the offline
            layout.
        seed: Seed of the first reading of the first text; the others are counted from there.
        batch_size: Texts that are read at once.
        shard_size: Texts of a shard: an interrupted run loses at most this many.

    Raises:
        ValueError: For a number out of range.
    """

    readings: int = 8
    offline_share: float = 0.5
    seed: int = 0
    batch_size: int = 16
    shard_size: int = 64

    def __post_init__(self) -> None:
        if self.readings < 2:
            raise ValueError(f"readings={self.readings}: the best one is of at least 2")
        if not 0 <= self.offline_share <= 1:
            raise ValueError(f"offline_share={self.offline_share:g}: give a share from 0 to 1")
        for name in ("batch_size", "shard_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: give at least 1")

    def is_offline(self, reading: int) -> bool:
        """Whether a reading, counted from 0, is in the offline layout."""
        return int((reading + 1) * self.offline_share) > int(reading * self.offline_share)


@dataclass(frozen=True)
class BestReadingsRecord:
    """What readings were made from; stored in `best_readings.json`.

    Attributes:
        model_digest: Digest of the model's weights.
        reward: The judge, with its version.
        readings: As in `ReadingSettings`, as the next two.
        offline_share: See there.
        seed: See there.
        cfg: Guidance scale.
        temperature: Scale of the noise.
        draws: Draws averaged per frame.
    """

    model_digest: str
    reward: str
    readings: int
    offline_share: float
    seed: int
    cfg: float
    temperature: float
    draws: int


@dataclass(frozen=True, eq=False)
class Reading:
    """A reading of a text.

    Attributes:
        seed: Seed of its noise.
        layout: "offline" or "stream".
        spoken: Its units, and the tokens that they say.
        seconds: Its duration.
        reward: What the judge gave. None: it was not judged, because it did not end by itself.
    """

    seed: int
    layout: str
    spoken: Generated
    seconds: float
    reward: float | None


@dataclass(frozen=True)
class RewardReport:
    """The rewards of a corpus.

    Attributes:
        rewards: Of each text, those of its readings that were judged.
        by_layout: Mean reward of the readings in each layout.
        unended: Readings that did not end by themselves.
        unread: Texts without a reading that did.
    """

    rewards: list[list[float]]
    by_layout: dict[str, float]
    unended: int
    unread: int

    def best_of(self, count: int) -> float | None:
        """The expected reward of the best of so many readings; at 1, the mean of all.

        It is the mean over all subsets of a text's readings, over the texts that have as many.
        None: there is no such text.
        """
        means = []
        for rewards in self.rewards:
            if len(rewards) >= count:
                weights = [math.comb(index, count - 1) for index in range(len(rewards))]
                total = math.comb(len(rewards), count)
                means.append(float(np.dot(sorted(rewards), weights)) / total)
        return float(np.mean(means)) if means else None

    @property
    def gain(self) -> Estimate:
        """What the best reading of a text has more than the mean of its readings."""
        gains = np.array([max(rewards) - float(np.mean(rewards)) for rewards in self.rewards])
        return estimate(gains, np.ones(len(gains)))

    def __str__(self) -> str:
        gain, most = self.gain, max(map(len, self.rewards))
        counts = [1 << power for power in range(most.bit_length()) if 1 << power < most]
        best = ", ".join(f"{self.best_of(count):.4f} of {count}" for count in [*counts, most])
        layouts = ", ".join(f"{name} {mean:.4f}" for name, mean in self.by_layout.items())
        return (
            f"{len(self.rewards)} texts; expected reward of the best reading: {best}\n"
            f"mean reward of readings: {layouts}\n"
            f"gain of the best over the mean of a text: {gain.value:.4f} "
            f"[{gain.low:.4f}, {gain.high:.4f}]\n"
            f"{self.unended} readings did not end by themselves, {self.unread} texts have no other"
        )


def cache_best_readings(
    tts: TTS,
    items: Sequence[Item],
    reward: Reward,
    output: Path,
    options: DecodingOptions,
    settings: ReadingSettings,
    codec_name: str | Path | None = None,
) -> RewardReport:
    """Read texts, and write the best reading of each into a cached corpus.

    Existing shards are kept.

    Args:
        tts: The model.
        items: The texts.
        reward: What the best reading has most of.
        output: Folder of the corpus.
        options: Guidance, temperature and number of draws.
        settings: How texts are read.
        codec_name: Where the codec was loaded from; recorded, so that training finds it.

    Returns:
        The rewards of all texts, those of earlier runs included.

    Raises:
        ValueError: If the model takes conditions, the folder has other readings, the judge cannot
            judge a text, or no text has a reading that ended.
    """
    model, codec = tts.model, tts.codec
    if conditions := model.config.architecture.conditions:
        raise ValueError(f"the model takes {', '.join(conditions)} with each text: not supported")
    texts = [[item.id, item.text] for item in items]
    digest = hashlib.sha256(json.dumps(texts, ensure_ascii=False).encode()).hexdigest()
    record = new_record(codec, digest, len(items), settings.shard_size, codec_name)
    claim(output, record)
    made = BestReadingsRecord(
        model_digest=model.digest(),
        reward=reward.version,
        readings=settings.readings,
        offline_share=0.0 if model.layout.is_offline else settings.offline_share,
        seed=settings.seed,
        cfg=options.cfg,
        temperature=options.temperature,
        draws=options.draws,
    )
    path = output / _RECORD
    records.keep_record(path, made)
    records.refuse_differences(
        path,
        records.read_record(path, BestReadingsRecord),
        asdict(made),
        "continue with the same, or choose another folder",
    )
    missing = missing_shards(output)
    done = len(items) - sum(map(record.shard_cuts, missing))
    with Progress(f"readings {output.name}", len(items), "text", done) as progress:
        for shard in missing:
            first = shard * record.shard_size
            numbers = range(first, first + record.shard_cuts(shard))
            with write_shard(output, record, shard) as writer:
                log = writer.folder / f"readings.{shard:06d}.jsonl"
                for start in numbers[:: settings.batch_size]:
                    batch = range(start, min(start + settings.batch_size, numbers.stop))
                    read = _read_texts(tts, items, batch, reward, options, settings)
                    for number, readings in zip(batch, read, strict=True):
                        _log(log, items[number], readings)
                        best = best_reading(readings, preferred=number)
                        if best is None:
                            writer.reject(items[number].id, "no reading ended by itself")
                        else:
                            writer.write(_cut_of(items[number], best, tts), _codes_of(codec, best))
                    progress.advance(len(batch))
    return read_report(output)


def read_report(folder: Path) -> RewardReport:
    """Read the rewards of a complete folder that `cache_best_readings` wrote.

    Raises:
        ValueError: If no text has a reading that ended by itself.
    """
    by_text: dict[str, list[float]] = {}
    by_layout: dict[str, list[float]] = {}
    unended = 0
    for path in sorted(folder.glob("readings.*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            one = json.loads(line)
            judged = by_text.setdefault(one["id"], [])
            if one["reward"] is None:
                unended += 1
            else:
                judged.append(one["reward"])
                by_layout.setdefault(one["layout"], []).append(one["reward"])
    if not by_layout:
        raise ValueError(f"none of {unended} readings ended by itself: train the model for longer")
    means = {name: float(np.mean(rewards)) for name, rewards in sorted(by_layout.items())}
    rewards = [one for one in by_text.values() if one]
    return RewardReport(rewards, means, unended, len(by_text) - len(rewards))


def _read_texts(
    tts: TTS,
    items: Sequence[Item],
    numbers: Sequence[int],
    reward: Reward,
    options: DecodingOptions,
    settings: ReadingSettings,
) -> list[list[Reading]]:
    """Read the items with these numbers; returns the readings of each."""
    by_reading = []
    for reading in range(settings.readings):
        layout = Layout() if settings.is_offline(reading) else tts.model.layout
        seeds = [settings.seed + number * settings.readings + reading for number in numbers]
        texts = [items[number] for number in numbers]
        by_reading.append(_read_once(tts, texts, seeds, layout, reward, options))
    return [list(readings) for readings in zip(*by_reading, strict=True)]


def _read_once(
    tts: TTS,
    items: Sequence[Item],
    seeds: Sequence[int],
    layout: Layout,
    reward: Reward,
    options: DecodingOptions,
) -> list[Reading]:
    """Read each item once, all at once; each reading is what it would be alone."""
    codec = tts.codec
    generated = generate(
        tts.model,
        [Request(tts.tokenizer.encode(item.text)) for item in items],
        [torch.Generator().manual_seed(seed) for seed in seeds],
        options,
        layout,
        text_tracker=make_tracker(codec.token_channel, tts.model),
    )
    heard = {
        index: Heard(items[index], _waveform(codec, one.speech), codec.sample_rate)
        for index, one in enumerate(generated)
        if one.stopped and len(one.speech)
    }
    given = reward.of(list(heard.values())) if heard else []
    rewards = dict(zip(heard, given, strict=True))
    name = "offline" if layout.is_offline else "stream"
    return [
        Reading(seed, name, one, len(one.speech) / codec.frame_rate, rewards.get(index))
        for index, (seed, one) in enumerate(zip(seeds, generated, strict=True))
    ]


@torch.inference_mode()
def _waveform(codec: Codec, units: Tensor) -> np.ndarray:
    waveform: np.ndarray = codec.decode(units[None].float())[0].cpu().numpy()
    return waveform


def best_reading(readings: Sequence[Reading], preferred: int) -> Reading | None:
    """The reading with the highest reward; None if none was judged.

    Args:
        readings: Readings of one text.
        preferred: Of readings with the same reward, this one or the first after it is taken, so
            that ties do not favour a layout.
    """
    turned = [readings[(preferred + index) % len(readings)] for index in range(len(readings))]
    judged = [one for one in turned if one.reward is not None]
    return max(judged, key=lambda one: one.reward or 0.0, default=None)


def _log(path: Path, item: Item, readings: Sequence[Reading]) -> None:
    with path.open("a", encoding="utf-8") as file:
        for one in readings:
            fields = {
                "id": item.id,
                "seed": one.seed,
                "layout": one.layout,
                "reward": one.reward,
                "seconds": round(one.seconds, 3),
            }
            file.write(json.dumps(fields, ensure_ascii=False) + "\n")


def _codes_of(codec: Codec, reading: Reading) -> Tensor:
    """Codes [K, T] of the codec below all transforms."""
    return codec.stored.units_to_codes(codec.to_stored(reading.spoken.speech))


def _cut_of(item: Item, reading: Reading, tts: TTS) -> MonoCut:
    """A cut of a reading, with the times of its words if the model told them."""
    codec, speech = tts.codec, reading.spoken.speech
    name = f"{item.id}-seed{reading.seed}"
    num_samples = len(speech) * codec.hop_length
    duration = num_samples / codec.sample_rate
    recording = Recording(name, [], codec.sample_rate, num_samples, duration, [0])
    said = SupervisionSegment(name, name, 0.0, duration, text=item.text, speaker=item.speaker)
    details = {"reward": reading.reward, "seed": reading.seed, "layout": reading.layout}
    cut = MonoCut(name, 0.0, duration, 0, [said], recording=recording, custom=details)
    if not len(reading.spoken.tokens):
        return cut
    return with_times_of_tokens(cut, tts.tokenizer, reading.spoken.tokens, 1 / codec.frame_rate)
