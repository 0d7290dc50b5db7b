"""The SLED model: text tokens and speech latents in, the next latent out.

Shapes: B samples, L text tokens, T frames; F frames and P positions of a whole batch, padding left
out; M samples per frame, R decoding rows, Q new positions of a row, H hidden width, D latent width,
N noise width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel
from transformers.utils import ModelOutput

from sled.files.checkpoint import CONFIG_FILE, read_weights
from sled.files.digest import tensor_digest
from sled.model.backbone import Backbone
from sled.model.cache import KVCache
from sled.model.eager_step import eager_step
from sled.model.guided_attention import SpokenTokens
from sled.model.heads import EnergyHead
from sled.model.heads.draws import mean_draw
from sled.model.heads.energy import XavierLinear, ZeroLinear
from sled.model.heads.scores import Score
from sled.model.huggingface import SpeechLlamaConfig
from sled.model.interface import StepInputs
from sled.model.layout import Arrangement, Layout

# Of every hundred or so frames one is the last: the weight balances the stop loss.
STOP_POSITIVE_WEIGHT = 100.0
# Passes in which scheduled sampling draws frames: from the second one on, they follow others that
# were drawn, as they do when the model speaks.
SAMPLING_PASSES = 2
# Of so many draws each of these frames is the mean: two opposite ones are worth more than two.
SAMPLING_DRAWS = 2


@dataclass
class SpeechLlamaOutput(ModelOutput):
    """What a training forward returns; every loss is a scalar.

    Attributes:
        loss: `score_loss + stop_loss`.
        alignment_loss: How far one attention head is from looking at the token that is being said,
            averaged over real frames; 0 if that is not asked for.
        score_loss: Energy (or MMD) score, averaged over real frames.
        stop_loss: Binary cross-entropy of stopping, averaged over real frames and stop positions.
        attraction, repulsion: The two halves of the score.
        hidden_states: [P, H] after the final norm, one sample behind the other.
        lengths: B numbers of positions of the samples, P in all.
        num_frames: Number of real frames F; the number of stop decisions is F + B.
        stop_errors: Number of wrong stop decisions, at the even threshold.
    """

    loss: Tensor | None = None
    score_loss: Tensor | None = None
    stop_loss: Tensor | None = None
    attraction: Tensor | None = None
    repulsion: Tensor | None = None
    hidden_states: Tensor | None = None
    lengths: list[int] | None = None
    num_frames: int | None = None
    stop_errors: Tensor | None = None
    alignment_loss: Tensor | None = None


class SpeechLlamaForCausalLM(PreTrainedModel):
    """One model for both layouts; the class name is the published architecture name."""

    config_class = SpeechLlamaConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    # A constant, which not every writer of the format stores.
    _keys_to_ignore_on_load_missing = [r"bceloss\.pos_weight"]
    _no_split_modules = ["DecoderLayer"]
    supports_gradient_checkpointing = True

    def __init__(self, config: SpeechLlamaConfig) -> None:
        super().__init__(config)
        self.layout = Layout.from_config(config)
        self.model = Backbone(config.architecture, config.objective)
        self.z_proj = nn.Linear(config.architecture.vae_embed_dim, config.architecture.hidden_size)
        self.z_proj_ln = nn.LayerNorm(config.architecture.hidden_size, eps=1e-6)
        self.eos_head = nn.Linear(config.architecture.hidden_size, 1, bias=False)
        self.scoreloss = EnergyHead(config.architecture, config.objective)
        self.bceloss = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([STOP_POSITIVE_WEIGHT]))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, XavierLinear | ZeroLinear):
            module.reset_parameters()
        elif isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.architecture.initializer_range)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm | nn.RMSNorm):
            nn.init.ones_(module.weight)
            if isinstance(module, nn.LayerNorm):
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BCEWithLogitsLoss) and module.pos_weight is not None:
            nn.init.constant_(module.pos_weight, STOP_POSITIVE_WEIGHT)

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, *args: Any, **kwargs: Any) -> Any:
        """Load a checkpoint from a folder or the hub, whole or not at all.

        Args:
            name_or_path: Folder with `config.json` and `model.safetensors`, or a hub name.
            *args, **kwargs: As for `transformers.PreTrainedModel.from_pretrained`. A folder that is
                loaded in a `dtype` takes no more memory than in that.

        Returns:
            The model, in evaluation mode (or what `output_loading_info=True` asks for).

        Raises:
            ValueError: Listing the tensors that are missing, unknown or of the wrong shape; or
                for weights that cannot be read.
            OSError: If there is no such checkpoint.
        """
        wants_info = kwargs.pop("output_loading_info", False)
        # Only safetensors: a pickle can run code.
        kwargs.update(use_safetensors=True, ignore_mismatched_sizes=True, output_loading_info=True)
        source: str | None = str(name_or_path)
        try:
            dtype, folder = kwargs.get("dtype"), Path(name_or_path)
            if isinstance(dtype, torch.dtype) and (folder / CONFIG_FILE).is_file():
                kwargs.setdefault("config", cls.config_class.from_pretrained(folder))
                kwargs["state_dict"], source = read_weights(folder, dtype), None
            model, info = super().from_pretrained(source, *args, **kwargs)
        except SafetensorError as error:
            raise ValueError(
                f"{name_or_path}: cannot read model.safetensors ({error}): copy it again"
            ) from error
        misshapen = [
            f"{key} {list(found)} instead of {list(wanted)}"
            for key, found, wanted in info["mismatched_keys"]
        ]
        problems = [
            f"{what}: {', '.join(sorted(keys))}"
            for what, keys in (
                ("missing", info["missing_keys"]),
                ("unknown", info["unexpected_keys"]),
                ("wrong shape", misshapen),
            )
            if keys
        ]
        if problems:
            raise ValueError(
                f"{name_or_path} does not hold this model's tensors ({'; '.join(problems)}): "
                "check that config.json and model.safetensors belong together"
            )
        return (model, info) if wants_info else model

    # Inputs and outputs of single positions, shared by training and decoding.

    def embed_text(self, token_ids: Tensor) -> Tensor:
        """[...] token ids to input embeddings [..., H]."""
        return self.z_proj_ln(self.model.embed_tokens(token_ids))

    def embed_units(self, latents: Tensor) -> Tensor:
        """[..., D] speech latents to input embeddings [..., H]."""
        return self.z_proj_ln(self.z_proj(latents.to(self.z_proj.weight.dtype)))

    def stop_probability(self, hidden: Tensor) -> Tensor:
        """[..., H] hidden states to the probability [...] that speech has ended before them."""
        return torch.sigmoid(self.eos_head(hidden).float()).squeeze(-1)

    # Decoding: `FrameModel`.

    def new_cache(self) -> KVCache:
        """What rows remember, for `advance`; without any rows as yet."""
        return KVCache(self.config.architecture, self.device, self.dtype)

    @property
    def unit_shape(self) -> tuple[int, ...]:
        """See `FrameModel`."""
        return (self.config.architecture.vae_embed_dim,)

    @property
    def unit_dtype(self) -> torch.dtype:
        """See `FrameModel`."""
        return self.dtype

    @property
    def noise_width(self) -> int:
        """See `FrameModel`."""
        return self.config.architecture.noise_channels

    averages = True

    def embed_conditions(self, conditions: Mapping[str, Tensor]) -> Tensor:
        """See `FrameModel`."""
        if conditions:
            raise ValueError(f"this model takes no conditions, not {sorted(conditions)}")
        return torch.empty(0, self.config.architecture.hidden_size)

    def step(self, inputs: StepInputs, cache: Any) -> tuple[Tensor, Tensor]:
        """See `FrameModel`."""
        return eager_step(self, inputs, cache)

    def draw(self, hidden: Tensor, noise: Tensor) -> Tensor:
        """One latent [..., D] for each hidden state [..., H] and standard normal noise [..., N]."""
        return self.scoreloss.draw(hidden, noise)

    def digest(self) -> str:
        """Hexadecimal digest of the weights, in the precision they are held in."""
        return tensor_digest(sorted(self.state_dict().items()))

    def advance(
        self, embeddings: Tensor, rows: list[int], counts: list[int], cache: KVCache
    ) -> Tensor:
        """Read `counts[r]` new inputs in each row and return the state after the last.

        Args:
            embeddings: [R, Q, H] input embeddings, right-padded.
            rows: Which R rows of the cache they continue.
            counts: R counts in 1..Q.
            cache: The rows' past, grown in place.

        Returns:
            [R, H] hidden state of each row's last new position.
        """
        cache.extend(rows, counts)
        hidden = self.model(embeddings, cache)
        if hidden.shape[1] == 1:
            return hidden[:, 0]
        last = torch.tensor(counts, device=hidden.device) - 1
        return hidden[torch.arange(len(counts), device=hidden.device), last]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        latents: Tensor,
        latent_mask: Tensor,
        noise: Tensor | None = None,
        layout: Layout | None = None,
        guided_states: Tensor | None = None,
        spoken: SpokenTokens | None = None,
        history: Tensor | None = None,
    ) -> SpeechLlamaOutput:
        """Training loss of a right-padded batch; each sample counts as it would alone.

        Args:
            input_ids: [B, L] text tokens, `<s>` first and `</s>` last.
            attention_mask: [B, L] 1 at real tokens.
            latents: [B, T, D] true latents.
            latent_mask: [B, T] 1 at real frames.
            noise: [M, F, N] noise of the head's draws, frames in batch order. None: drawn here.
            layout: How text and speech interleave. None: as the configuration says.
            guided_states: [F + B, H] states to learn in the place of frames: the score is then
                the distance of the model's own, and the heads do not move them.
            spoken: Which tokens are being said, for `alignment_loss`.
            history: [B, T, D] what the model hears in the place of the true latents. None: those.

        Returns:
            Losses and hidden states. In training mode each sample's text is dropped with
            probability `training_cfg`, so that the text-free branch of guidance is learned.
        """
        history = latents if history is None else history
        if self.training and self.config.objective.scheduled_sampling > 0:
            history = self.mix_in_own(
                input_ids,
                attention_mask,
                latents,
                history,
                latent_mask,
                layout or self.layout,
                self.config.objective.scheduled_sampling,
            )
        if self.training and self.config.objective.training_cfg > 0:
            dropped = (
                torch.rand(len(input_ids), device=input_ids.device)
                < self.config.objective.training_cfg
            )
            input_ids, attention_mask = self.drop_text(input_ids, attention_mask, dropped)
        if self.training and self.config.objective.history_noise > 0:
            history = self._disturb(history, latent_mask)
        hidden, arrangement, alignment_loss = self._read(
            input_ids, attention_mask, history, latent_mask, layout or self.layout, spoken
        )
        predicting = hidden[arrangement.predictor]  # [F + B, H]
        is_stop, num_frames = arrangement.is_stop, len(predicting) - len(latent_mask)
        if guided_states is None:
            if noise is None:
                noise = self.scoreloss.draw_noise(num_frames, latents.device)
            target = latents[latent_mask.bool()]
            score = self.scoreloss.score(predicting[~is_stop], target, noise)
        else:
            score = _state_score(predicting, guided_states)
            predicting = predicting.detach()
        stop_logit = self.eos_head(predicting).squeeze(-1).float()
        stop_loss = self.bceloss(stop_logit, is_stop.float())
        score_loss = score.value.mean()
        return SpeechLlamaOutput(
            loss=score_loss + stop_loss,
            score_loss=score_loss,
            stop_loss=stop_loss,
            attraction=score.attraction.mean().detach(),
            repulsion=score.repulsion.mean().detach(),
            hidden_states=hidden,
            lengths=arrangement.lengths,
            num_frames=num_frames,
            stop_errors=((stop_logit > 0) != is_stop).sum(),
            alignment_loss=alignment_loss,
        )

    def predict(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        history: Tensor,
        latent_mask: Tensor,
        layout: Layout | None = None,
    ) -> Tensor:
        """The states [F + B, H] that predict frames and stops of a batch, as in `forward`."""
        hidden, arrangement, _ = self._read(
            input_ids, attention_mask, history, latent_mask, layout or self.layout
        )
        return hidden[arrangement.predictor]

    def _read(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        history: Tensor,
        latent_mask: Tensor,
        layout: Layout,
        spoken: SpokenTokens | None = None,
    ) -> tuple[Tensor, Arrangement, Tensor]:
        """Hidden states [P, H] of a batch, how it was arranged, and the alignment loss."""
        num_tokens, num_frames = attention_mask.sum(1).tolist(), latent_mask.sum(1).tolist()
        arrangement = layout.arrange(num_tokens, num_frames).to(history.device)
        text, speech = input_ids[attention_mask.bool()], history[latent_mask.bool()]
        embeddings = torch.cat((self.embed_text(text), self.embed_units(speech)))
        inputs = embeddings[arrangement.source]
        watch = None if spoken is None else spoken.layer
        context = self.model.pack(arrangement.lengths, inputs, watch)
        hidden = self.model(inputs, context)
        if spoken is None:
            return hidden, arrangement, hidden.new_zeros(())
        assert context.watched is not None
        loss = spoken.loss(*context.watched, arrangement, attention_mask, latent_mask)
        return hidden, arrangement, loss

    def drop_text(
        self, input_ids: Tensor, attention_mask: Tensor, dropped: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Replace the texts where `dropped` [B] is true by the single token `</s>`."""
        is_first = torch.arange(input_ids.shape[1], device=input_ids.device) == 0
        input_ids = input_ids.masked_fill(
            dropped[:, None] & is_first, self.config.architecture.eos_token_id
        )
        return input_ids, attention_mask.masked_fill(dropped[:, None] & ~is_first, 0)

    @torch.no_grad()
    def mix_in_own(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        latents: Tensor,
        history: Tensor,
        latent_mask: Tensor,
        layout: Layout,
        share: float,
    ) -> Tensor:
        """History [B, T, D] with draws of the model's own in the place of some of the latents.

        Scheduled sampling (Bengio et al. 2015) of all frames at once (Mihaylova and Martins 2019),
        of each sample with a share of its own, up to `share`, and a temperature of its own, up to
        1, for it speaks at low ones, too. What is not heard as it is, as if it were a prompt, stays
        as it is heard.

        Args:
            input_ids, attention_mask, latents, history, latent_mask, layout: As for `forward`.
            share: From none, 0, to all, 1.

        Returns:
            [B, T, D].
        """
        real = latent_mask.bool()
        shares = share * torch.rand(len(real), 1, device=real.device)
        chosen = (torch.rand(*real.shape, device=real.device) < shares) & real
        chosen &= (history == latents).all(-1)
        num_frames = int(real.sum())
        noise = torch.randn(
            num_frames, self.config.architecture.noise_channels, device=history.device
        )
        temperature = torch.rand(len(real), 1, device=real.device).expand_as(real)
        noise = temperature[real][:, None] * noise
        draws = torch.full((num_frames,), SAMPLING_DRAWS, device=history.device)
        mixed, drawn = history, torch.zeros_like(history)
        for _ in range(SAMPLING_PASSES):
            hidden, arrangement, _ = self._read(
                input_ids, attention_mask, mixed, latent_mask, layout
            )
            states = hidden[arrangement.predictor][~arrangement.is_stop]
            own = mean_draw(self.draw, states, noise, draws, SAMPLING_DRAWS)
            drawn[real] = own.to(drawn.dtype)
            mixed = torch.where(chosen[..., None], drawn, history)
        # Autocast keeps the weights it has cast, and these would have no gradient.
        torch.clear_autocast_cache()
        return mixed

    def _disturb(self, latents: Tensor, latent_mask: Tensor) -> Tensor:
        """Latents [B, T, D] with noise, of a level up to `history_noise` drawn for each sample."""
        # Each sample's own scale, so that its loss does not depend on its company.
        square = (latents.square() * latent_mask[..., None]).sum((1, 2))
        scale = (square / (latent_mask.sum(1) * latents.shape[-1])).sqrt()[:, None, None]
        level = self.config.objective.history_noise * torch.rand(
            len(latents), 1, 1, device=latents.device
        )
        return latents + level * scale * torch.randn_like(latents)


def num_parameters(config: SpeechLlamaConfig) -> int:
    """Parameters that a model has, without making it."""
    with torch.device("meta"):
        model = SpeechLlamaForCausalLM(config)
    return sum(parameter.numel() for parameter in model.parameters())


def _state_score(states: Tensor, target: Tensor) -> Score:
    """Squared distances [F + B] of states [F + B, H] to others, over the others' mean square."""
    distance = (states.float() - target.float()).square().sum(-1)
    return Score(distance / target.float().square().sum(-1).mean(), torch.zeros_like(distance))


AutoModel.register(SpeechLlamaConfig, SpeechLlamaForCausalLM, exist_ok=True)
