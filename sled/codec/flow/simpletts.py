"""The flow of SimpleTTS: a causal decoder with experts, a rectified flow (Liu et al. 2023).

A sequence is the embedding of the time and a position for each mel frame, which holds the speaker
vector, the embedding of the token said at that time, and the noisy frame. The published repository
has no generation; here the flow is solved by Euler steps, as the others.

Shapes: B batch, T tokens, F frames, M mel bands, W width of a speaker vector, H width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Self, override

from sled.codec.flow.base import FlowBatch, FlowPrompt, WholeFlow, length_mask, whole_noise
from sled.codec.flow.estimator import sinusoids
from sled.codec.flow.matching import SolverOptions, solve
from sled.codec.network_files import known
from sled.model.backbone import Backbone, checkpoint_layers
from sled.model.config import Architecture, Objective
from sled.model.tokens.experts import ExpertMLP, ExpertSizes

_MAX_POSITIONS = 8192
MEL_RATE = 22_050 / 256
"""Mel frames per second."""
# How often the conditions of a sample are left out after some frames in training.
NO_CONDITIONS_RATE = 0.2


@dataclass(frozen=True, kw_only=True)
class SimpleTTSFlowSizes(ExpertSizes):
    """The sizes of the flow; defaults as published.

    Attributes:
        codes: Number of speech tokens.
        hidden_size: H.
        intermediate_size: Stored, and used by no layer.
        num_hidden_layers: Number of layers.
        num_attention_heads: Number of query heads.
        num_key_value_heads: Number of key and value heads.
        n_mels: M.
        spk_embed_dim: W.
        frequency_embedding_size: Width of the sines and cosines of the time.
        rope_theta: Base of the rotary frequencies.
        rms_norm_eps: Epsilon of the RMS norms.
        token_rate: Tokens per second.
    """

    num_experts: int = 8
    num_experts_per_tok: int = 2
    moe_intermediate_size: int = 1024
    shared_expert_intermediate_size: int = 2048
    codes: int = 4096
    hidden_size: int = 1024
    intermediate_size: int = 2048
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    num_key_value_heads: int = 4
    n_mels: int = 80
    spk_embed_dim: int = 192
    frequency_embedding_size: int = 1024
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-6
    token_rate: float = 25.0


@dataclass(frozen=True, eq=False)
class RectifiedDraws:
    """The random numbers of a loss.

    Attributes:
        time: [B] from 0 to 1.
        noise: [B, M, F].
        given: int64 [B] the first frames, which have their conditions.
    """

    time: Tensor
    noise: Tensor
    given: Tensor

    @classmethod
    def draw(
        cls, mel: Tensor, given: Tensor, generator: torch.Generator | None = None
    ) -> RectifiedDraws:
        """Draw them in the published order, for a mel spectrogram [B, M, F]."""
        time = torch.rand(len(mel), generator=generator, device=mel.device)
        noise = torch.randn(mel.mT.shape, generator=generator, device=mel.device).mT
        return cls(time, noise, given)

    def noisy(self, mel: Tensor) -> Tensor:
        """What lies between noise and a mel spectrogram [B, M, F] at these times."""
        time = self.time[:, None, None]
        return (1 - time) * self.noise + time * mel


class TimeEmbedder(nn.Module):
    """Times to vectors."""

    def __init__(self, frequencies: int, width: int) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.network = nn.Sequential(
            nn.Linear(frequencies, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, time: Tensor) -> Tensor:
        """Map [B] to [B, H]."""
        half = self.frequencies // 2
        embedded: Tensor = self.network(sinusoids(time, self.frequencies, half, 1.0).roll(half, -1))
        return embedded


class GatedMLP(nn.Module):
    """SwiGLU without biases, to another width."""

    def __init__(self, width: int, out_width: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, 2 * width, bias=False)
        self.up_proj = nn.Linear(width, 2 * width, bias=False)
        self.down_proj = nn.Linear(2 * width, out_width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., E] to [..., H]."""
        output: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return output


class CausalDecoder(nn.Module):
    """The layers under their published name, with a head that is stored and not used."""

    def __init__(self, model: Backbone, codes: int, width: int) -> None:
        super().__init__()
        self.model, self.lm_head = model, nn.Linear(width, codes, bias=False)


class SimpleTTSFlow(WholeFlow):
    """The flow. Attributes have the published tensor names.

    Args:
        sizes: Its sizes.
    """

    KIND = "SimpleDIT (Qwen2Moe backbone)"

    def __init__(self, sizes: SimpleTTSFlowSizes) -> None:
        super().__init__()
        self.sizes, width = sizes, sizes.hidden_size
        self.token_rate, self.vocab_size = sizes.token_rate, sizes.codes
        self.num_mels, self.speaker_size = sizes.n_mels, sizes.spk_embed_dim
        architecture = Architecture(
            vocab_size=sizes.codes,
            hidden_size=width,
            intermediate_size=sizes.intermediate_size,
            num_hidden_layers=sizes.num_hidden_layers,
            num_attention_heads=sizes.num_attention_heads,
            num_key_value_heads=sizes.num_key_value_heads,
            max_position_embeddings=_MAX_POSITIONS,
            rope_theta=sizes.rope_theta,
            rms_norm_eps=sizes.rms_norm_eps,
            vae_embed_dim=sizes.codes,
        )
        objective = Objective(dropout=0.0, attention_dropout=0.0, activation_dropout=0.0)
        make_mlp = partial(ExpertMLP, sizes)
        layers = Backbone(architecture, objective, qkv_bias=True, make_mlp=make_mlp)
        self.llm = CausalDecoder(layers, sizes.codes, width)
        self.t_embedder = TimeEmbedder(sizes.frequency_embedding_size, width)
        self.embed_mlp = GatedMLP(sizes.spk_embed_dim + width + sizes.n_mels, width)
        self.to_mels = nn.Linear(width, sizes.n_mels)

    @property
    @override
    def output_layer(self) -> nn.Linear:
        return self.to_mels

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        """Compute states of layers again in the backward pass; to save memory."""
        checkpoint_layers(self, gradient_checkpointing_kwargs)

    def frame_inputs(self, tokens: Tensor, speaker: Tensor, mel: Tensor, given: Tensor) -> Tensor:
        """The inputs [B, F, W + H + M] of all frames.

        Args:
            tokens: int64 [B, T], stretched to the frames.
            speaker: [B, W], of any length.
            mel: [B, M, F] noisy frames.
            given: int64 [B] how many frames have their conditions; the others have zeros.
        """
        frames = mel.shape[-1]
        embedded = self.llm.model.embed_tokens(tokens).mT
        embedded = F.interpolate(embedded, size=frames, mode="linear").mT
        speaker = F.normalize(speaker, dim=-1)[:, None].expand(-1, frames, -1)
        conditions = torch.cat((speaker, embedded), -1)
        return torch.cat((conditions * length_mask(given, frames)[..., None], mel.mT), -1)

    def velocity(self, inputs: Tensor, time: Tensor) -> Tensor:
        """Velocities [B, M, F] for inputs [B, F, E] at times [B]."""
        batch, frames, _ = inputs.shape
        sequence = torch.cat((self.t_embedder(time)[:, None], self.embed_mlp(inputs)), 1)
        packed = sequence.flatten(0, 1)
        layers = self.llm.model
        hidden = layers(packed, layers.pack([frames + 1] * batch, packed))
        velocity: Tensor = self.to_mels(hidden.view(batch, frames + 1, -1)[:, 1:])
        return velocity.mT

    @override
    def loss(
        self,
        batch: FlowBatch,
        generator: torch.Generator | None = None,
        draws: RectifiedDraws | None = None,
    ) -> Tensor:
        if draws is None:
            uniform = torch.rand(2, len(batch.mel), generator=generator, device=self.device)
            some = (uniform[0] * batch.num_frames).long()
            given = torch.where(uniform[1] < NO_CONDITIONS_RATE, some, batch.num_frames)
            draws = RectifiedDraws.draw(batch.mel, given, generator)
        noisy = draws.noisy(batch.mel)
        inputs = self.frame_inputs(batch.tokens, batch.speaker, noisy, draws.given)
        error = self.velocity(inputs, draws.time) - (batch.mel - draws.noise)
        valid = length_mask(batch.num_frames, error.shape[-1])[:, None]
        return (error.square() * valid).sum() / (valid.sum() * self.num_mels)

    @override
    @torch.no_grad()
    def mel_of(
        self, tokens: Tensor, speaker: Tensor, prompt: FlowPrompt, options: SolverOptions
    ) -> Tensor:
        """See `WholeFlow.mel_of`; with a prompt, its frames follow their own straight path."""
        joined, start = torch.cat((prompt.tokens, tokens), 1), prompt.mel.shape[-1]
        frames = start + int(tokens.shape[1] / self.token_rate * MEL_RATE)
        noise = whole_noise(self.num_mels, frames).to(speaker).expand(len(tokens), -1, -1)
        all_given = torch.full((len(tokens),), frames, device=tokens.device)

        def estimate(x: Tensor, time: Tensor, given: Tensor) -> Tensor:
            return self.velocity(self.frame_inputs(joined, speaker, x, given), time)

        def velocity(_: int, x: Tensor, time: Tensor) -> Tensor:
            # The frames of the prompt are where rectified flow would have them.
            between = time[:, None, None]
            known = (1 - between) * noise[..., :start] + between * prompt.mel
            x = torch.cat((known, x[..., start:]), -1)
            guided = estimate(x, time, all_given)
            if options.guidance:
                without = estimate(x, time, torch.zeros_like(all_given))
                guided = (1 + options.guidance) * guided - options.guidance * without
            return guided

        return solve(velocity, noise, options)[..., start:]

    @override
    @classmethod
    def from_dict(cls, flat: Mapping[str, Any]) -> Self:
        return cls(SimpleTTSFlowSizes(**known(flat, SimpleTTSFlowSizes)))

    @override
    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.KIND, "model_type": self.KIND, **asdict(self.sizes)}

    @override
    @classmethod
    def sizes_of(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        raise KeyError("tensors do not tell how many experts are chosen")
