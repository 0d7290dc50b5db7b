"""Configuration of a SLED model: architecture, training objective and speaking defaults.

On disk, `config.json` is flat and holds the keys of the published checkpoints, so that either
implementation reads the other's folders. Settings that the published format does not have are
written only when they differ from their defaults.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sled.files.checkpoint import CONFIG_FILE
from sled.files.json_object import read_json_object
from sled.model.config_keys import FIXED_KEYS, INERT_KEYS, TRANSFORMERS_KEYS
from sled.model.ids import Sampling

MODEL_TYPE = "speech_llama"
# Scores of draws of the energy head; see sled/model/heads/scores/.
SCORES = ("energy", "gaussian_mmd", "laplacian_mmd", "drifting", "attraction")
ARCHITECTURE_NAME = "SpeechLlamaForCausalLM"


def _extra(default: Any, key: str | None = None) -> Any:
    """A field that the published format does not have; `key` is its name on disk."""
    return field(default=default, metadata={"is_extra": True, "key": key})


MAX_SIZE = 1 << 20  # no model comes near it, and PyTorch cannot count what is far larger
# Fields of `Architecture` that are whole numbers of at least 1.
_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
    "vae_embed_dim",
    "diffloss_w",
    "noise_channels",
    "head_steps",
)


@dataclass
class Architecture:
    """What the weights depend on. The defaults are the published size of 204 M parameters.

    Attributes:
        vocab_size: Number of text tokens.
        hidden_size: Width of the backbone.
        intermediate_size: Width of its gated MLP.
        num_hidden_layers: Number of decoder layers.
        num_attention_heads: Number of query heads.
        num_key_value_heads: Number of key and value heads; fewer than `num_attention_heads` is
            grouped-query attention. 0: as many as query heads.
        head_dim: Width of one attention head. 0: `hidden_size // num_attention_heads`.
        max_position_embeddings: Positions (text tokens plus frames) the model was made for.
        rms_norm_eps: Epsilon of the RMS norms.
        rope_theta: Base of the rotary frequencies.
        initializer_range: Standard deviation of the initial linear weights.
        vae_embed_dim: Size of a unit: the width of a latent vector, or the number of ids.
        diffloss_d: Number of residual blocks of the energy head.
        diffloss_w: Width of the energy head.
        noise_channels: Width of the energy head's noise.
        stream_n: Text tokens per chunk of the streaming layout. None: offline layout.
        stream_m: Frames per chunk of the streaming layout. None: offline layout.
        bos_token_id: Token at the start of a text, `<s>`. None: texts have none.
        pad_token_id: Padding token.
        eos_token_id: Token at the end of a text, `</s>`; alone, it stands for a dropped text.
        frame_rate: Frames per second, as in the codec.
        text_normalization: How text is normalised before tokenization, see `sled.normalization`.
            None: not at all.
        head: Name of the head in `sled.model.heads.HEADS`.
        head_steps: Steps in which heads draw that need several.
        conditions: Name and width of each vector that conditions all of a sample's speech.
    """

    vocab_size: int = 16384
    hidden_size: int = 1024
    intermediate_size: int = 2752
    num_hidden_layers: int = 12
    num_attention_heads: int = 16
    num_key_value_heads: int = 0
    head_dim: int = 0
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    initializer_range: float = 0.02
    vae_embed_dim: int = 128
    diffloss_d: int = 6
    diffloss_w: int = 1024
    noise_channels: int = 128
    stream_n: int | None = None
    stream_m: int | None = None
    bos_token_id: int | None = 0
    pad_token_id: int = 1
    eos_token_id: int = 2
    frame_rate: float = _extra(75.0)
    text_normalization: str | None = _extra(None)
    head: str = _extra("energy")
    head_steps: int = _extra(1)
    conditions: dict[str, int] = field(default_factory=dict, metadata={"is_extra": True})

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, int) and value > MAX_SIZE:
                raise ValueError(f"{name}={value} is above {MAX_SIZE:,}")
            if name in _SIZES and not (isinstance(value, int) and value >= 1):
                raise ValueError(f"{name}={value!r} must be a whole number of at least 1")
        self.num_key_value_heads = self.num_key_value_heads or self.num_attention_heads
        self.head_dim = self.head_dim or self.hidden_size // self.num_attention_heads
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads={self.num_attention_heads} must be a multiple of "
                f"num_key_value_heads={self.num_key_value_heads}"
            )
        if self.head_dim % 2:
            raise ValueError(f"head_dim={self.head_dim} must be even for rotary positions")
        if (self.stream_n is None) != (self.stream_m is None):
            raise ValueError(
                f"stream_n={self.stream_n} and stream_m={self.stream_m}: give both or neither"
            )
        for name, width in self.conditions.items():
            if not name.isidentifier() or width < 1:
                raise ValueError(
                    f"conditions={self.conditions!r}: give an identifier and a width of at least "
                    "1 for each condition"
                )


@dataclass
class Objective:
    """What training minimises, and how it regularises. It does not affect decoding.

    Attributes:
        dropout: Dropout on both residual branches.
        attention_dropout: Dropout on attention weights.
        activation_dropout: Dropout inside the MLP.
        training_cfg: Probability that a sample's text is dropped, for classifier-free guidance.
        score: What the energy head learns from: one of SCORES.
        score_beta: Exponent of the energy distance, in (0, 2).
        score_samples: Draws per frame, at least 2.
        score_bandwidths: Kernel widths of the scores with a kernel, in units of
            sqrt(vae_embed_dim); of drifting, in units of the mean distance of draws and target.
        noise_clamp: Largest value of the noise in training. 0: no limit.
        time_sampling: How the times of flows are drawn, "uniform" or "lognormal".
        history_noise: Highest level of the noise on the latents that the model reads, in units of
            their root mean square. It makes the model robust to errors in its own frames.
        scheduled_sampling: Largest share of the units read that is replaced by the model's own
            draws, from 0 to 1. It prepares the model for reading its own frames.
    """

    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.1
    training_cfg: float = 0.1
    score: str = _extra("energy")
    score_beta: float = _extra(1.0)
    score_samples: int = _extra(2)
    score_bandwidths: tuple[float, ...] = _extra((0.5, 1.0, 2.0))
    noise_clamp: float = _extra(0.0)
    time_sampling: str = _extra("uniform")
    history_noise: float = _extra(0.0)
    scheduled_sampling: float = _extra(0.0)

    def __post_init__(self) -> None:
        self.score_bandwidths = tuple(self.score_bandwidths)
        if self.score not in SCORES:
            raise ValueError(f"score={self.score!r}: choose one of {', '.join(SCORES)}")
        if self.time_sampling not in ("uniform", "lognormal"):
            raise ValueError(f"time_sampling={self.time_sampling!r}: choose uniform or lognormal")
        if not self.noise_clamp >= 0:
            raise ValueError(f"noise_clamp={self.noise_clamp} is below 0")
        if not 0 < self.score_beta < 2:
            raise ValueError(f"score_beta={self.score_beta} must lie in (0, 2)")
        if self.score_samples < 2:
            raise ValueError(f"score_samples={self.score_samples} must be at least 2")
        if not 0 <= self.scheduled_sampling <= 1:
            raise ValueError(
                f"scheduled_sampling={self.scheduled_sampling} is a share: give one from 0 to 1"
            )


@dataclass
class Speaking:
    """Defaults for decoding, and what was measured on the training data.

    Attributes:
        temperature: Default scale of the head's noise.
        cfg: Default guidance scale. None: the caller's default.
        draws: Default number of draws that each frame is the mean of.
        distilled_cfg: Guidance scale that was distilled into the model, so that it needs none.
            None: guidance was not distilled.
        min_frames_per_token: Fewest frames per text token, in all but a few samples of the training
            data. None: not measured.
        max_frames_per_token: Most frames per text token, in all but a few samples of the training
            data. None: not measured.
        trained_frames: Most frames in a training sample, except for a few samples. Speech gets
            unstable in longer sequences, including the prompt. None: not measured.
        known_words: The words of the training texts, as they are normalised, if these are few.
            Others cannot be said. None: any word can.
        speech_level_db: Root mean square of the training data's speech, in dB of full scale,
            without the silence around it. Recordings to be continued are brought to it. None: not
            measured.
        lead_s: Silence before the speech in the training data, in seconds.
        tail_s: Silence after it, in seconds.
        length_tolerance: Default of `DecodingOptions.length_tolerance`.
        top_p: Default of `Sampling.top_p`, as for the next three.
        top_k: Default of `Sampling.top_k`.
        repetition_window: Default of `Sampling.window`.
        repetitions: Default of `Sampling.repetitions`.
        alignment_layer: Layer whose first attention head was taught to attend to the token that is
            being said, counted from 0; see `sled.model.guided_attention`. None: none was.
        output_gain_db: What the model's speech is amplified by, in dB. None: by what brings the
            training data to the usual loudness, if its level was measured.
    """

    temperature: float = _extra(1.0, key="speaking_temperature")
    cfg: float | None = _extra(None, key="speaking_cfg")
    draws: int = _extra(1, key="speaking_draws")
    distilled_cfg: float | None = _extra(None)
    min_frames_per_token: float | None = _extra(None)
    max_frames_per_token: float | None = _extra(None)
    trained_frames: int | None = _extra(None)
    known_words: tuple[str, ...] | None = _extra(None)
    speech_level_db: float | None = _extra(None)
    lead_s: float = _extra(0.1, key="leading_silence_s")
    tail_s: float = _extra(0.15, key="trailing_silence_s")
    length_tolerance: float = _extra(1.5, key="speaking_length_tolerance")
    top_p: float = _extra(1.0, key="speaking_top_p")
    top_k: int = _extra(0, key="speaking_top_k")
    repetition_window: int = _extra(0, key="speaking_repetition_window")
    repetitions: int = _extra(1, key="speaking_repetitions")
    output_gain_db: float | None = _extra(None)
    alignment_layer: int | None = _extra(None)

    def __post_init__(self) -> None:
        if self.known_words is not None:
            self.known_words = tuple(self.known_words)
        if self.trained_frames is not None and self.trained_frames < 1:
            raise ValueError(f"trained_frames={self.trained_frames} must be at least 1")
        if not self.temperature >= 0:
            raise ValueError(f"speaking_temperature={self.temperature} is below 0")
        if self.cfg is not None and not self.cfg >= 0:
            raise ValueError(f"speaking_cfg={self.cfg} is below 0")
        if self.draws < 1:
            raise ValueError(f"speaking_draws={self.draws} must be at least 1")
        for name in ("lead_s", "tail_s"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}={getattr(self, name)} is below 0")
        for name in ("speech_level_db", "output_gain_db"):
            if (value := getattr(self, name)) is not None and not math.isfinite(value):
                raise ValueError(f"{name}={value} is not a number")
        self.sampling()  # checks the values

    @property
    def frames_per_token(self) -> tuple[float, float] | None:
        """The fewest and the most frames that a token of text takes; None if that is not known."""
        low, high = self.min_frames_per_token, self.max_frames_per_token
        return (low, high) if low and high else None

    def sampling(self) -> Sampling:
        """How ids are drawn by default."""
        return Sampling(
            top_p=self.top_p,
            top_k=self.top_k,
            window=self.repetition_window,
            repetitions=self.repetitions,
        )


Part = type[Architecture] | type[Objective] | type[Speaking]
_PARTS: dict[str, Part] = {
    "architecture": Architecture,
    "objective": Objective,
    "speaking": Speaking,
}
# Key in config.json -> its part and its field there.
KEYS: dict[str, tuple[str, dataclasses.Field[Any]]] = {
    one.metadata.get("key") or one.name: (part, one)
    for part, kind in _PARTS.items()
    for one in dataclasses.fields(kind)
}


@dataclass
class Config:
    """All settings of a model; modules take the part that they need."""

    architecture: Architecture = field(default_factory=Architecture)
    objective: Objective = field(default_factory=Objective)
    speaking: Speaking = field(default_factory=Speaking)

    @property
    def streaming_chunks(self) -> tuple[int, int] | None:
        """Text tokens and frames in a chunk of the layout for growing text. None: it has none."""
        n, m = self.architecture.stream_n, self.architecture.stream_m
        return None if n is None or m is None else (n, m)

    @property
    def most_segment_tokens(self) -> int | None:
        """Text tokens that are said at once at most, whatever their speech takes. None: any."""
        return None

    @property
    def most_prompt_s(self) -> float | None:
        """The longest recording that is continued, whatever training had, in seconds. None: any."""
        return None

    @property
    def text_end_id(self) -> int | None:
        """The token between every text and `eos_token_id`. None: there is none."""
        return None

    @property
    def num_text_ends(self) -> tuple[int, int]:
        """How many tokens that are no text come before and after every text."""
        return int(self.architecture.bos_token_id is not None), 1 + (self.text_end_id is not None)

    @classmethod
    def from_dict(cls, flat: Mapping[str, Any]) -> Config:
        """Build a configuration from the keys of `config.json`; missing keys have their defaults.

        Raises:
            ValueError: For an unknown key, or values that no model can have.
        """
        return Config(**make_parts(flat))

    def to_dict(self) -> dict[str, Any]:
        """Return the keys of `config.json`, without extras that have their default values."""
        return {**FIXED_KEYS, **published_keys(self), "model_type": MODEL_TYPE}

    @classmethod
    def load(cls, folder: Path) -> Config:
        """Read `config.json` of a checkpoint folder.

        Raises:
            OSError: If the file does not exist.
            ValueError: If it is not a configuration of a model like this.
        """
        path = folder / CONFIG_FILE
        flat = read_json_object(path)
        if flat.get("model_type", MODEL_TYPE) != MODEL_TYPE:
            raise ValueError(f"{path} has model_type {flat['model_type']!r}, not {MODEL_TYPE!r}")
        return cls.from_dict(flat)

    def save(self, folder: Path) -> None:
        """Write `config.json` into a folder, which is made if need be."""
        folder.mkdir(parents=True, exist_ok=True)
        flat = {**self.to_dict(), "architectures": [ARCHITECTURE_NAME]}
        text = json.dumps(flat, indent=2, sort_keys=True) + "\n"
        (folder / CONFIG_FILE).write_text(text, encoding="utf-8")


def make_parts(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Sort flat keys into the three parts of a `Config`.

    Raises:
        ValueError: For an unknown key, or values that no model can have.
    """
    for key, supported in FIXED_KEYS.items():
        value = flat.get(key, supported)
        if key not in INERT_KEYS and value != supported:
            raise ValueError(f"{key}={value!r} is not supported: SLED models have {supported!r}")
    unknown = sorted(flat.keys() - KEYS.keys() - FIXED_KEYS.keys() - TRANSFORMERS_KEYS)
    if unknown:
        raise ValueError(f"unknown configuration keys {unknown}: remove or correct them")
    parts: dict[str, dict[str, Any]] = {part: {} for part in _PARTS}
    for key, value in flat.items():
        # A size of None means that it follows from the others.
        if key in KEYS and not (value is None and key in ("num_key_value_heads", "head_dim")):
            part, one = KEYS[key]
            parts[part][one.name] = value
    return {part: kind(**parts[part]) for part, kind in _PARTS.items()}


def published_keys(config: Config) -> dict[str, Any]:
    """Return the flat settings of a configuration as they are stored."""
    flat: dict[str, Any] = {}
    for key, (part, one) in KEYS.items():
        value = getattr(getattr(config, part), one.name)
        if value is None or (one.metadata.get("is_extra") and value == _default(one)):
            continue
        flat[key] = list(value) if isinstance(value, tuple) else value
    return flat


def _default(one: dataclasses.Field[Any]) -> Any:
    if one.default_factory is not dataclasses.MISSING:
        return one.default_factory()
    return one.default
