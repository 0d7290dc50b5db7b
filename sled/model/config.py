"""The one configuration of a SLED model.

`config.json` keeps exactly the keys of the published checkpoints, so that either implementation
reads the other's folders. Settings that the published format does not know (`EXTRA_DEFAULTS`)
are written only when they differ from their defaults.
"""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig
from transformers import __version__ as transformers_version

# Llama options that the published files carry but only ever hold with these values.
FIXED_KEYS: dict[str, Any] = {
    "attention_bias": False,
    "hidden_act": "silu",
    "mlp_bias": False,
    "pretraining_tp": 1,
    "rope_scaling": None,
    "tie_word_embeddings": False,
    "use_cache": True,
}
# Of those, the ones that change nothing that is computed here: any value will do.
_INERT_KEYS = {"pretraining_tp", "use_cache"}

# Ours alone, on top of the published format.
EXTRA_DEFAULTS: dict[str, Any] = {
    "score": "energy",
    "score_beta": 1.0,
    "score_samples": 2,
    "score_bandwidths": (0.5, 1.0, 2.0),
    "history_noise": 0.0,
    "scheduled_sampling": 0.0,
    "frame_rate": 75.0,
    "min_frames_per_token": None,
    "max_frames_per_token": None,
    "trained_frames": None,
    "text_normalization": None,
    "distilled_cfg": None,
    "speaking_temperature": 1.0,
    "speaking_cfg": None,
    "speaking_draws": 1,
}

# What transformers itself may pass to or keep in any configuration.
_BASE_KEYS = set(PreTrainedConfig().to_dict()) | {
    "architectures",
    "attn_implementation",
    "dtype",
    "model_type",
    "name_or_path",
    "num_labels",
    "output_attentions",
    "torch_dtype",
}


class SpeechLlamaConfig(PreTrainedConfig):
    """Sizes and settings of a SLED model; the defaults are the published 204 M parameter size.

    Args:
        vocab_size: Number of text tokens.
        hidden_size: Width of the backbone.
        intermediate_size: Width of its gated MLP.
        num_hidden_layers: Decoder layers.
        num_attention_heads: Query heads.
        num_key_value_heads: Key and value heads; fewer than `num_attention_heads` is
            grouped-query attention. None: as many as query heads.
        head_dim: Width of one head. None: `hidden_size // num_attention_heads`.
        max_position_embeddings: Positions (text tokens plus frames) the model was made for.
        rms_norm_eps: Epsilon of the RMS norms.
        rope_theta: Base of the rotary frequencies.
        initializer_range: Standard deviation of the initial linear weights.
        dropout, attention_dropout, activation_dropout: Training-time dropout on the two residual
            branches, on attention weights and inside the MLP.
        vae_embed_dim: Width of one speech latent.
        diffloss_d: Residual blocks of the energy head.
        diffloss_w: Width of the energy head.
        noise_channels: Width of the head's noise.
        training_cfg: Probability that training drops a sample's text.
        stream_n, stream_m: Text tokens and frames per chunk of the streaming layout; both None is
            the offline layout.
        score: Proper scoring rule of the head: "energy" or "gaussian_mmd".
        score_beta: Exponent of the energy distance, in (0, 2).
        score_samples: Samples drawn per frame in training, at least 2.
        score_bandwidths: Kernel widths of "gaussian_mmd", in units of sqrt(vae_embed_dim).
        history_noise: Strongest noise on the latents that the model reads in training, in units of
            their root mean square; teaches it to live with its own imperfect frames.
        scheduled_sampling: Largest share of these latents that training replaces by draws of the
            model's own, from none to all (1.0); teaches it to go on from what it says.
        frame_rate: Latents per second of the codec the model speaks through.
        min_frames_per_token, max_frames_per_token: Frames of speech for each token of its text, in
            all but a few samples of the training data. None: not measured.
        trained_frames: Frames of speech that all but a few samples of training had at most: with
            more in a sequence, a prompt's included, a model loses itself. None: not measured.
        text_normalization: What is done to a text before it becomes tokens, see
            `sled.normalization`. None: nothing.
        distilled_cfg: Guidance scale that the model speaks with by itself, at cfg 1, because
            guidance was distilled into it. None: it was not.
        speaking_temperature: Scale of the head's noise that the model speaks best with, and speaks
            with unless asked otherwise.
        speaking_cfg: Likewise its guidance scale. None: as the caller is used to.
        speaking_draws: Likewise of how many draws each frame is the mean.

    Raises:
        ValueError: For an unknown key or a combination that no model can have.
    """

    model_type = "speech_llama"

    def __init__(
        self,
        *,
        vocab_size: int = 16384,
        hidden_size: int = 1024,
        intermediate_size: int = 2752,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 16,
        num_key_value_heads: int | None = None,
        head_dim: int | None = None,
        max_position_embeddings: int = 2048,
        rms_norm_eps: float = 1e-6,
        rope_theta: float = 10000.0,
        initializer_range: float = 0.02,
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        activation_dropout: float = 0.1,
        vae_embed_dim: int = 128,
        diffloss_d: int = 6,
        diffloss_w: int = 1024,
        noise_channels: int = 128,
        training_cfg: float = 0.1,
        stream_n: int | None = None,
        stream_m: int | None = None,
        score: str = EXTRA_DEFAULTS["score"],
        score_beta: float = EXTRA_DEFAULTS["score_beta"],
        score_samples: int = EXTRA_DEFAULTS["score_samples"],
        score_bandwidths: tuple[float, ...] = EXTRA_DEFAULTS["score_bandwidths"],
        history_noise: float = EXTRA_DEFAULTS["history_noise"],
        scheduled_sampling: float = EXTRA_DEFAULTS["scheduled_sampling"],
        frame_rate: float = EXTRA_DEFAULTS["frame_rate"],
        min_frames_per_token: float | None = None,
        max_frames_per_token: float | None = None,
        trained_frames: int | None = None,
        text_normalization: str | None = None,
        distilled_cfg: float | None = None,
        speaking_temperature: float = EXTRA_DEFAULTS["speaking_temperature"],
        speaking_cfg: float | None = None,
        speaking_draws: int = EXTRA_DEFAULTS["speaking_draws"],
        bos_token_id: int = 0,
        pad_token_id: int = 1,
        eos_token_id: int = 2,
        **kwargs: Any,
    ) -> None:
        for key, supported in FIXED_KEYS.items():
            value = kwargs.pop(key, supported)
            if key not in _INERT_KEYS and value != supported:
                raise ValueError(
                    f"{key}={value!r} is not supported: SLED models have {supported!r}"
                )
        unknown = sorted(k for k in kwargs if not k.startswith("_") and k not in _BASE_KEYS)
        if unknown:
            raise ValueError(f"unknown configuration keys {unknown}: remove or correct them")

        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.num_key_value_heads = num_key_value_heads or num_attention_heads
        self.head_dim = head_dim or hidden_size // num_attention_heads
        self.max_position_embeddings = max_position_embeddings
        self.rms_norm_eps = rms_norm_eps
        self.rope_theta = rope_theta
        self.initializer_range = initializer_range
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.activation_dropout = activation_dropout
        self.vae_embed_dim = vae_embed_dim
        self.diffloss_d = diffloss_d
        self.diffloss_w = diffloss_w
        self.noise_channels = noise_channels
        self.training_cfg = training_cfg
        self.stream_n = stream_n
        self.stream_m = stream_m
        self.score = score
        self.score_beta = score_beta
        self.score_samples = score_samples
        self.score_bandwidths = tuple(score_bandwidths)
        self.history_noise = history_noise
        self.scheduled_sampling = scheduled_sampling
        self.frame_rate = frame_rate
        self.min_frames_per_token = min_frames_per_token
        self.max_frames_per_token = max_frames_per_token
        self.trained_frames = trained_frames
        self.text_normalization = text_normalization
        self.distilled_cfg = distilled_cfg
        self.speaking_temperature = speaking_temperature
        self.speaking_cfg = speaking_cfg
        self.speaking_draws = speaking_draws
        self.bos_token_id = bos_token_id
        self.pad_token_id = pad_token_id
        self.eos_token_id = eos_token_id
        self._check()
        super().__init__(**kwargs)

    def _check(self) -> None:
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads={self.num_attention_heads} must be a multiple of "
                f"num_key_value_heads={self.num_key_value_heads}"
            )
        if self.trained_frames is not None and self.trained_frames < 1:
            raise ValueError(f"trained_frames={self.trained_frames}: a model saw at least 1")
        if not self.speaking_temperature >= 0:
            raise ValueError(f"speaking_temperature={self.speaking_temperature} is below 0")
        if self.speaking_cfg is not None and not self.speaking_cfg >= 0:
            raise ValueError(f"speaking_cfg={self.speaking_cfg} is below 0")
        if self.speaking_draws < 1:
            raise ValueError(f"speaking_draws={self.speaking_draws}: a frame takes at least 1")
        if self.head_dim % 2:
            raise ValueError(f"head_dim={self.head_dim} must be even for rotary positions")
        if (self.stream_n is None) != (self.stream_m is None):
            raise ValueError(
                f"stream_n={self.stream_n} and stream_m={self.stream_m}: give both or neither"
            )
        if self.score not in ("energy", "gaussian_mmd"):
            raise ValueError(f"score={self.score!r}: choose 'energy' or 'gaussian_mmd'")
        if not 0 < self.score_beta < 2:
            raise ValueError(f"score_beta={self.score_beta} must lie in (0, 2)")
        if not 0 <= self.scheduled_sampling <= 1:
            raise ValueError(
                f"scheduled_sampling={self.scheduled_sampling} is a share: give one from 0 to 1"
            )
        if self.score_samples < 2:
            raise ValueError(f"score_samples={self.score_samples} must be at least 2")

    def to_diff_dict(self) -> dict[str, Any]:
        """The dictionary that `config.json` holds: the published keys, plus our extras if set."""
        ours = {
            key: value
            for key, value in self.to_dict().items()
            if key not in _BASE_KEYS and not key.startswith("_") and value is not None
        }
        for key, default in EXTRA_DEFAULTS.items():
            if getattr(self, key) == default:
                ours.pop(key, None)
        if self.architectures is not None:
            ours["architectures"] = self.architectures
        if self.dtype is not None:
            ours["torch_dtype"] = str(self.dtype).removeprefix("torch.")
        # Token ids are base keys in some versions of transformers and ours in others.
        for key in ("bos_token_id", "pad_token_id", "eos_token_id"):
            ours[key] = getattr(self, key)
        return {
            **FIXED_KEYS,
            **ours,
            "model_type": self.model_type,
            "transformers_version": transformers_version,
        }
