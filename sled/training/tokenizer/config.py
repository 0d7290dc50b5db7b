"""Settings of the training of a speech tokenizer; each field is also a flag of the command."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sled.codec.speech_tokens.network import TokenizerSizes


def _required(text: str) -> Any:
    return field(metadata={"help": text})


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, kw_only=True)
class TokenizerTrainingConfig:
    """Settings of a `TokenizerTrainer`.

    The defaults are a small tokenizer for one machine. The published one has 6 layers of width 1280
    with 20 heads.
    """

    train_manifest: str = _required("Lhotse CutSet to train on (cuts.jsonl.gz), with texts")
    eval_manifest: str = _required("Lhotse CutSet to validate on")
    output_dir: str = field(
        metadata={
            "help": "folder of the tokenizer, its training state and its TensorBoard log",
            "aliases": ["--output", "-o"],
        }
    )

    hidden_size: int = _option(256, "width of the encoder")
    num_heads: int = _option(4, "heads of each attention")
    num_layers: int = _option(4, "layers of the encoder, before the tokens")
    num_decoder_layers: int = _option(2, "layers that read the tokens to spell the text")
    text_normalization: str = _option(
        None,
        "english-phonemes: spell phonemes. english: letters of the text as it is said. unset: "
        "letters of the text as it is",
    )

    max_steps: int = _option(20_000, "training steps")
    max_minutes: float = _option(
        0.0,
        "end after this many minutes of training, with the schedule to fit; on a processor, of its "
        "time, so that pauses do not count; 0: by steps",
    )
    batch_duration_s: float = _option(120.0, "seconds of speech in a batch, with padding")
    max_duration_s: float = _option(30.0, "leave out longer clips")
    learning_rate: float = _option(1e-3, "peak of the learning rate")
    warmup_steps: int = _option(300, "steps until the peak")
    weight_decay: float = _option(0.01, "decay of weights that are matrices")
    time_mask_s: float = _option(0.3, "longest span of time that is masked, twice in each clip")
    frequency_mask: int = _option(20, "most mel bands that are masked, twice in each clip")

    bf16: bool = _option(False, "run the network under bfloat16 autocast")
    device: str = _option("auto", "cpu, cuda, cuda:1, mps, or auto")
    seed: int = _option(0, "seed of weights, order and masks")
    num_workers: int = _option(2, "processes that read audio; 0: the main process")
    max_cached_hours: float = _option(
        10.0, "hours of features that each of these processes keeps in memory, 90 MB each"
    )
    logging_steps: int = _option(50, "steps between lines of the log")
    save_steps: int = _option(500, "steps between states from which a run can continue")
    eval_steps: int = _option(1_000, "steps between validations")
    max_eval_cuts: int = _option(200, "clips to validate on")

    def __post_init__(self) -> None:
        """Raise ValueError for settings that no run can have."""
        for name in ("max_steps", "num_layers", "logging_steps", "save_steps", "eval_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} {getattr(self, name)} is below 1")
        for name in ("batch_duration_s", "max_duration_s", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"--{name} {getattr(self, name)} is not above 0")
        self.sizes()

    def sizes(self) -> TokenizerSizes:
        """The sizes of the network.

        Raises:
            ValueError: If they do not fit each other.
        """
        return TokenizerSizes(
            version=2,
            n_audio_state=self.hidden_size,
            n_audio_head=self.num_heads,
            n_audio_layer=self.num_layers,
        )
