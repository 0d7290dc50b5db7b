"""The SLED model: text tokens and units of speech in, the next unit out.

Shapes: B samples, L text tokens, T frames, C conditions; F frames and P positions of a whole batch
without padding; M draws per frame, R decoding rows, Q new positions of a row, H hidden width, N
noise width; `*unit` is the shape of a unit, [D] for a latent vector and [] for an id.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn

from sled.files.digest import tensor_digest
from sled.files.without_weights import without_weights
from sled.model.backbone import Backbone
from sled.model.batch import SpeechBatch, TrainingOutput
from sled.model.cache import KVCache, advance_rows
from sled.model.conditions import project_conditions
from sled.model.config import Config
from sled.model.eager_step import eager_step
from sled.model.guided_attention import SpokenTokens, guided_attention_loss
from sled.model.heads import head_class
from sled.model.heads.energy import XavierLinear, ZeroLinear
from sled.model.heads.scores import Score
from sled.model.ids import SpeechIds
from sled.model.interface import StepInputs
from sled.model.layout import Arrangement, Layout

# About one frame in a hundred is the last one: this weight balances the stop loss.
STOP_POSITIVE_WEIGHT = 100.0


# Changes what the model reads in training, given also the true units [B, T, *unit];
# see `sled.training.objectives.corrupt_inputs`.
Corruption = Callable[["SpeechLM", SpeechBatch, Tensor], SpeechBatch]


# The loss of a recogniser on frames drawn from the states [F, H] before them, given what the model
# read and the true units [B, T, *unit]; see `sled.training.recognition.Recognition`.
Listener = Callable[["SpeechLM", Tensor, SpeechBatch, Tensor], Tensor]


class SpeechLM(nn.Module):
    """One model for both layouts and any head. Attribute names are the published tensor names.

    Args:
        config: Its settings.
    """

    config: Config
    encodes_text = False
    shows_attention = True

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.add_modules()
        self.apply(self.initialize)

    def add_modules(self) -> None:
        """Make all submodules."""
        architecture, objective = self.config.architecture, self.config.objective
        width = architecture.hidden_size
        head = head_class(architecture)
        self.layout = Layout.from_config(self.config)
        self.model = Backbone(architecture, objective)
        self.z_proj = head.input_layer(architecture)
        self.z_proj_ln = nn.LayerNorm(width, eps=1e-6)
        self.eos_head = nn.Linear(width, 1, bias=False)
        self.scoreloss = head(architecture, objective)
        self.bceloss = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([STOP_POSITIVE_WEIGHT]))
        self.condition_proj = nn.ModuleDict(
            {name: nn.Linear(size, width) for name, size in architecture.conditions.items()}
        )

    @torch.no_grad()
    def initialize(self, module: nn.Module) -> None:
        """Give a submodule, without its own submodules, its initial weights."""
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

    @property
    def streaming_layout(self) -> Layout:
        """The layout for text that comes in pieces; offline if the model has none."""
        return Layout.for_streaming(self.config)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.eos_head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights, embeddings and hidden states."""
        return self.eos_head.weight.dtype

    @property
    def unit_shape(self) -> tuple[int, ...]:
        """The shape of a unit: (D,) for a latent vector, () for an id."""
        return self.scoreloss.unit_shape

    @property
    def unit_dtype(self) -> torch.dtype:
        """The type of units."""
        return self.scoreloss.unit_dtype or self.dtype

    @property
    def noise_width(self) -> int:
        """N, the number of noise values that a draw takes."""
        return self.scoreloss.noise_width

    @property
    def averages(self) -> bool:
        """Whether the mean of several draws is a unit."""
        return self.scoreloss.averages

    @property
    def ids(self) -> SpeechIds | None:
        """The ids that the units are. None: units are vectors."""
        return self.scoreloss.ids

    @property
    def parameter_count(self) -> int:
        """Number of parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    # Inputs and outputs of single positions, shared by training and decoding.

    def embed_text(self, token_ids: Tensor, past: Sequence[int] = ()) -> Tensor:
        """Return input embeddings [..., H] of token ids [...], whatever their past."""
        return self._normalize(self.model.embed_tokens(token_ids))

    def embed_units(self, units: Tensor) -> Tensor:
        """Return input embeddings [..., H] of units [..., *unit]."""
        return self._normalize(self.z_proj(units.to(self.unit_dtype)))

    def embed_conditions(self, conditions: Mapping[str, Tensor]) -> Tensor:
        """Return input embeddings [..., C, H] of conditions [..., width], in the model's order.

        Raises:
            ValueError: If these are not the conditions that the model takes.
        """
        projected = project_conditions(self.condition_proj, conditions, self.device, self.dtype)
        if projected is None:
            return torch.empty(0, self.config.architecture.hidden_size, device=self.device)
        return self._normalize(projected)

    def _normalize(self, x: Tensor) -> Tensor:
        normalized: Tensor = self.z_proj_ln(x)
        return normalized

    def stop_probability(self, hidden: Tensor) -> Tensor:
        """Return the probability [...] that speech ended before the hidden states [..., H]."""
        return torch.sigmoid(self.eos_head(hidden).float()).squeeze(-1)

    # Decoding.

    def new_cache(self) -> KVCache:
        """Return a cache for `advance`, without rows."""
        return KVCache(self.config.architecture, self.device, self.dtype)

    def step(self, inputs: StepInputs, cache: KVCache) -> tuple[Tensor, Tensor]:
        """Read one input per row and draw one unit per utterance, see `FrameModel.step`."""
        return eager_step(self, inputs, cache)

    def draw(self, hidden: Tensor, noise: Tensor) -> Tensor:
        """Draw units [..., *unit] for hidden states [..., H] from normal noise [..., N]."""
        return self.scoreloss.draw(hidden, noise)

    def score_ids(self, hidden: Tensor) -> Tensor:
        """Return log-probabilities [..., S] of ids after hidden states, see `Head.score_ids`."""
        return self.scoreloss.score_ids(hidden)

    def digest(self) -> str:
        """Return a hexadecimal digest of the weights, in the precision they are held in."""
        return tensor_digest(sorted(self.state_dict().items()))

    def advance(
        self, embeddings: Tensor, rows: list[int], counts: list[int], cache: KVCache
    ) -> Tensor:
        """Read `counts[r]` new inputs in each row and return the state after the last.

        Args:
            embeddings: [R, Q, H] input embeddings, right-padded.
            rows: R indices of rows in the cache.
            counts: R counts in 1..Q.
            cache: The past of the rows; extended in place.

        Returns:
            [R, H] hidden state of each row's last new position.
        """
        return advance_rows(self.model, embeddings, rows, counts, cache)

    # Training.

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        units: Tensor,
        frame_mask: Tensor,
        noise: Tensor | None = None,
        layout: Layout | None = None,
        guided_states: Tensor | None = None,
        spoken: SpokenTokens | None = None,
        history: Tensor | None = None,
        conditions: Mapping[str, Tensor] | None = None,
        corruption: Corruption | None = None,
        num_given: Tensor | None = None,
        listener: Listener | None = None,
    ) -> TrainingOutput:
        """Compute the training losses of a right-padded batch.

        A sample's losses do not depend on the other samples.

        Args:
            input_ids: [B, L] text tokens, `<s>` first and `</s>` last.
            attention_mask: [B, L] 1 at real tokens.
            units: [B, T, *unit] true units.
            frame_mask: [B, T] 1 at real frames.
            noise: [M, F', N] noise of the head's draws of the learned frames, in batch order.
                None: drawn here.
            layout: How text and speech interleave. None: as configured.
            guided_states: [F + B, H] states to learn instead of frames: the score is then the
                distance of the model's states from them, and the heads get no gradient.
            spoken: The spoken tokens, for `alignment_loss`.
            history: [B, T, *unit] units that the model reads instead of the true ones. None: the
                true ones.
            conditions: A tensor [B, width] for each of the model's conditions.
            corruption: Changes what the model reads. It is called within the forward pass, where
                all weights are available even if they are sharded.
            num_given: [B] number of frames at the start of each sample that are only read. None:
                none.
            listener: Computes `recognition_loss`.
        """
        batch = SpeechBatch(
            input_ids,
            attention_mask,
            units if history is None else history,
            frame_mask,
            layout or self.layout,
            conditions or {},
            num_given,
        )
        real = frame_mask.bool()
        learned = batch.learned[real]  # [F]
        target = units[real][learned]
        if corruption is not None:
            batch = corruption(self, batch, units)
        hidden, arrangement, alignment_loss = self._read(batch, spoken)
        predicting = hidden[arrangement.predictor]  # [F + B, H]
        is_stop = arrangement.is_stop
        if guided_states is None:
            if noise is None:
                noise = self.scoreloss.draw_noise(len(target), units.device)
            score = self.scoreloss.score(predicting[~is_stop][learned], target, noise)
        else:
            score = _state_score(predicting, guided_states)
            predicting = predicting.detach()
        stop_logit = self.eos_head(predicting).squeeze(-1).float()
        stop_loss = self.bceloss(stop_logit, is_stop.float())
        num_scores = max(1, len(score.value))  # a batch may have no learned frame
        score_loss = score.value.sum() / num_scores
        recognition_loss = score_loss.new_zeros(())
        if listener is not None:
            recognition_loss = listener(self, predicting[~is_stop], batch, units)
        return TrainingOutput(
            loss=score_loss + stop_loss,
            score_loss=score_loss,
            stop_loss=stop_loss,
            attraction=score.attraction.detach().sum() / num_scores,
            repulsion=score.repulsion.detach().sum() / num_scores,
            alignment_loss=alignment_loss,
            recognition_loss=recognition_loss,
            hidden_states=hidden,
            lengths=arrangement.lengths,
            num_frames=len(learned),
            num_learned=len(target),
            stop_errors=((stop_logit > 0) != is_stop).sum(),
        )

    def predict(self, batch: SpeechBatch) -> tuple[Tensor, Tensor]:
        """Return the states [F + B, H] that predict frames and stops, and [F + B] which is which.

        The second tensor is True at stops, as `Arrangement.is_stop`.
        """
        hidden, arrangement, _ = self._read(batch)
        return hidden[arrangement.predictor], arrangement.is_stop

    def _read(
        self, batch: SpeechBatch, spoken: SpokenTokens | None = None
    ) -> tuple[Tensor, Arrangement, Tensor]:
        """Hidden states [P, H] of a batch, how it was arranged, and the alignment loss."""
        tokens, frames = batch.attention_mask, batch.frame_mask
        conditions = self.embed_conditions(batch.conditions)
        num_conditions = conditions.shape[-2]
        arrangement = batch.layout.arrange(
            tokens.sum(1).tolist(), frames.sum(1).tolist(), num_conditions
        ).to(batch.units.device)
        embeddings = [
            self.embed_text(batch.input_ids[tokens.bool()]),
            self.embed_units(batch.units[frames.bool()]),
        ]
        if num_conditions:
            embeddings.append(conditions.flatten(0, -2))
        inputs = torch.cat(embeddings)[arrangement.source]
        watch = None if spoken is None else spoken.layer
        context = self.model.pack(arrangement.lengths, inputs, watch)
        hidden = self.model(inputs, context)
        if spoken is None:
            return hidden, arrangement, hidden.new_zeros(())
        assert context.watched is not None
        loss = guided_attention_loss(spoken.index, *context.watched, arrangement, tokens, frames)
        return hidden, arrangement, loss


def num_parameters(config: Config) -> int:
    """Return the number of parameters of a model with this configuration."""
    return _num_parameters(json.dumps(config.to_dict()))


@lru_cache
def _num_parameters(config: str) -> int:
    with without_weights():
        return SpeechLM(Config.from_dict(json.loads(config))).parameter_count


def _state_score(states: Tensor, target: Tensor) -> Score:
    """Squared distances [F + B] of states [F + B, H] from others, over the others' mean square."""
    distance = (states.float() - target.float()).square().sum(-1)
    return Score(distance / target.float().square().sum(-1).mean(), torch.zeros_like(distance))
