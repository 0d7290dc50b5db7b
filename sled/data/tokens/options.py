"""Options of the data pipeline, and those of published systems."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sled.codec.features import MEL_22K, MEL_24K, MelSettings

Fit = Literal["none", "trim", "pad"]
OnBad = Literal["skip", "stop"]


@dataclass(frozen=True, kw_only=True)
class PipelineOptions:
    """How rows of a corpus become batches.

    Attributes:
        mel: The mel spectrogram; its sample rate is that of the waveforms.
        min_length: Shortest recording, in units of 10 ms.
        max_length: Longest recording, in units of 10 ms.
        token_min_length: Fewest text tokens.
        token_max_length: Most text tokens.
        min_output_input_ratio: Fewest text tokens for each 10 ms.
        max_output_input_ratio: Most text tokens for each 10 ms.
        fit: How frames and tokens of an utterance are made to fit each other: "trim" cuts both to
            `frames_per_token` frames for each token; "pad" adds zeros to the waveform until its
            frames are a multiple of `frames_per_token`; "none" leaves both.
        frames_per_token: Mel frames of a speech token.
        truncate_length: Samples of a random part that is taken of each recording, as the training
            of vocoders has it. None: all.
        shuffle_size: Rows of the buffer from which rows are drawn.
        keep_half: Keep half of that buffer when it is full; otherwise all of it is passed on.
        sort_size: Rows that are sorted by their length.
        max_frames_in_batch: Frames of a batch, with padding.
        batch_size: Rows of a batch, instead of a number of frames. None: by frames.
        use_spk_embedding: Whether `embedding` is the speaker's mean vector, for fine-tuning to
            speakers, or that of the utterance.
        with_audio: Decode recordings and compute their features; language models need none.
        with_tokenizer_features: Add `whisper_feat`, from which speech tokens can be made.
        speech_token_size: Number of different speech tokens; rows with others are bad. None: not
            checked.
        embedding_size: Width of speaker vectors. None: that of the first row.
        token_rate: Speech tokens per second; rows whose number of tokens is far from it are bad.
            None: not checked.
        on_bad: Leave bad rows and files out, or stop at the first one.
    """

    mel: MelSettings = MEL_24K
    min_length: float = 100
    max_length: float = 6_000
    token_min_length: int = 1
    token_max_length: int = 200
    min_output_input_ratio: float = 0.0005
    max_output_input_ratio: float = 1.0
    fit: Fit = "pad"
    frames_per_token: int = 2
    truncate_length: int | None = None
    shuffle_size: int = 1_000
    keep_half: bool = True
    sort_size: int = 500
    max_frames_in_batch: int = 2_000
    batch_size: int | None = None
    use_spk_embedding: bool = False
    with_audio: bool = True
    with_tokenizer_features: bool = False
    speech_token_size: int | None = None
    embedding_size: int | None = None
    token_rate: float | None = None
    on_bad: OnBad = "skip"

    def __post_init__(self) -> None:
        """Raise ValueError for options that no row can meet."""
        if not 0 <= self.min_length < self.max_length:
            raise ValueError(
                f"no recording lasts from {self.min_length} to {self.max_length} units of 10 ms: "
                "set min_length below max_length"
            )
        for name in ("shuffle_size", "sort_size", "max_frames_in_batch", "frames_per_token"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} is below 1")


COSYVOICE = PipelineOptions(mel=MEL_22K, min_length=0, max_length=40_960, fit="none")
COSYVOICE2 = PipelineOptions(token_rate=25, speech_token_size=6561)
# As its recipe was until November 2025.
COSYVOICE2_2025 = PipelineOptions(
    max_length=40_960, fit="trim", keep_half=False, token_rate=25, speech_token_size=6561
)
