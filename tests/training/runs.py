"""Training runs of debug size as whole commands, and functions to read their results."""

import json
from pathlib import Path
from typing import Any

import soundfile
import torch
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from safetensors.torch import load_file

from sled.data.alignment.spoken_times import with_words
from sled.data.cache.codes import cache_codes
from sled.data.manifests import load_cuts, save_cuts
from sled.training.run import train
from tests.debug import GOLDENS, SAMPLE_RATE, debug_codec, debug_tokenizer, debug_waveform

TEXTS = ["four two seven", "one", "nine one one", "two two", "seven four", "one nine"]
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "diffloss_d": 2,
    "diffloss_w": 24,
    "noise_channels": 8,
    "max_position_embeddings": 256,
}
# Nothing random but the head's noise.
PLAIN = {"training_cfg": 0.0, "dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}


def make_corpus(folder: Path) -> Path:
    """Write `cuts.jsonl.gz`, the same `cached` as codes, and a `tokenizer` into a folder."""
    cuts = []
    for index, text in enumerate(TEXTS):
        samples = debug_waveform(0.2 + 0.05 * index, seed=index)
        soundfile.write(folder / f"{index}.wav", samples, SAMPLE_RATE)
        recording = Recording.from_file(folder / f"{index}.wav", recording_id=f"clip-{index}")
        supervision = SupervisionSegment(
            f"clip-{index}", f"clip-{index}", 0.0, recording.duration, text=text
        )
        cuts.append(
            MonoCut(f"clip-{index}", 0.0, recording.duration, 0, [supervision], recording=recording)
        )
    save_cuts(CutSet.from_cuts(cuts), folder / "cuts.jsonl.gz")
    cache_codes(load_cuts(folder / "cuts.jsonl.gz"), debug_codec(), folder / "cached")
    debug_tokenizer().save_pretrained(folder / "tokenizer")
    return folder


def align_evenly(manifest: Path, output: Path) -> None:
    """Write the same cuts with times of words, all equally long."""
    cuts = []
    for cut in load_cuts(manifest):
        words = cut.supervisions[0].text.split()
        ends = [cut.duration * (index + 1) / len(words) for index in range(len(words))]
        cuts.append(with_words(cut, words, ends, [0.0] * len(words)))
    save_cuts(CutSet.from_cuts(cuts), output)


def command_line(settings: dict[str, Any]) -> list[str]:
    """Words of a command. A list is a flag with several values, and an empty list is left out."""
    return [
        word
        for flag, value in settings.items()
        if value != []
        for word in (f"--{flag}", *map(str, value if isinstance(value, list) else [value]))
    ]


def flags(corpus: Path, output: Path, **changes: Any) -> list[str]:
    """A command line: a model of debug size, two samples per step, no reports."""
    settings = {
        "train_manifest": corpus / "cached",
        "tokenizer": corpus / "tokenizer",
        "codec": GOLDENS / "codec",
        "output_dir": output,
        "per_device_train_batch_size": 2,
        "max_steps": 3,
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    return command_line(settings | SIZES | changes)


def fit(corpus: Path, output: Path, **changes: Any) -> Path:
    """Train as the flags say; returns the output folder."""
    return train(flags(corpus, output, **changes))


def logged(output: Path, key: str) -> list[float]:
    """The logged values of a quantity."""
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    return [entry[key] for entry in history if key in entry]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint."""
    return load_file(folder / "model.safetensors")


def assert_same_weights(one: Path, other: Path) -> None:
    """Check that the weights of two checkpoints are bit-equal."""
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not ours[name].equal(theirs[name])] == []


def checkpoints(output: Path) -> list[int]:
    """Steps of the checkpoints in a run's folder."""
    return sorted(int(path.name.rpartition("-")[2]) for path in output.glob("checkpoint-*"))
