"""What language models of speech tokens have in common: sequences, losses and decoding.

A sequence begins with a prefix, such as a start vector and a speaker vector. Text and speech follow
in the order of a layout, where the last token of the text says that speech begins. A model scores
the ids of speech and further ids that end something, see `SpeechIds`.

Shapes: L text tokens, T speech tokens, C prefix positions, P positions of a sequence or of a batch,
Q new positions of R rows, E width of inputs, H hidden width, S scored ids.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import Self, override

from sled.files.digest import tensor_digest
from sled.model.backbone import (
    Backbone,
    DistanceContext,
    PackedSequences,
    checkpoint_layers,
)
from sled.model.cache import KVCache, advance_rows
from sled.model.config import Architecture, Objective
from sled.model.eager_step import eager_step
from sled.model.ids import SpeechIds
from sled.model.interface import StepInputs
from sled.model.layout import Layout
from sled.model.tokens.config import TokenConfig, published_speaking
from sled.model.tokens.losses import NO_TARGET, accuracy, label_smoothed_loss
from sled.model.tokens.relative_attention import RelativeStack
from sled.model.tokens.samples import TokenOutput, TokenSample, alignment_loss

# Rows of `llm_embedding`.
START, BEGIN_SPEECH = range(2)


class TokenLM(nn.Module, ABC):
    """A language model of speech tokens; a `FrameModel` whose units are ids.

    Args:
        architecture: Sizes; `eos_token_id` is the token that begins speech.
        ids: The ids that are scored.
        flat: The content of `config.json`.
        mix_ratio: As in `TokenConfig`.

    Attributes:
        config: All settings.
        NAMES: How the tensors' names begin, and how the published ones begin instead.
        ADDED_TOKENS: Special tokens that a published text tokenizer is given.
        UNUSED: Published tensors that are not used, each with one that is saved instead.
        TRAINED_S: The longest samples in published training, in seconds.
        ids: See above; of those of speech, the codec may know a part, see `TokenConfig`.
        layout: The order of text and speech by default: offline.
        streaming_layout: Their order for text that comes in pieces; offline if there is none.
        unit_shape: ().
        unit_dtype: int64.
        noise_width: 0, since ids are drawn by a generator.
        averages: False.
        encodes_text: Whether the embedding of a token depends on the tokens before it.
        shows_attention: False: decoding does not read attention, even if a head was guided.
        takes_speaker: Whether a speaker vector is one of its conditions.
    """

    NAMES: ClassVar[Mapping[str, str]] = {}
    UNUSED: ClassVar[Mapping[str, str]] = {}
    ADDED_TOKENS: ClassVar[tuple[str, ...]] = ()
    TRAINED_S: ClassVar[float] = 60.0
    config: TokenConfig
    unit_shape: tuple[int, ...] = ()
    unit_dtype = torch.long
    noise_width = 0
    averages = False
    encodes_text = False
    shows_attention = False
    takes_speaker = False

    def __init__(
        self,
        architecture: Architecture,
        ids: SpeechIds,
        flat: dict[str, Any],
        mix_ratio: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        objective = Objective(
            dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, training_cfg=0.0
        )
        speaking = published_speaking(round(self.TRAINED_S * architecture.frame_rate))
        self.config = TokenConfig(architecture, objective, speaking, flat, mix_ratio)
        self._ids = ids
        self.layout = Layout.from_config(self.config)
        self.streaming_layout = Layout.for_streaming(self.config)

    @property
    def ids(self) -> SpeechIds:
        """The ids that are scored."""
        return replace(self._ids, known=self.config.known_ids)

    @classmethod
    @abstractmethod
    def from_dict(cls, flat: Mapping[str, Any]) -> Self:
        """Make a model with the sizes of a `config.json`.

        Raises:
            KeyError: If one is missing.
            TypeError: If one is of the wrong type.
        """

    @classmethod
    @abstractmethod
    def sizes_of(cls, weights: Mapping[str, Tensor], folder: Path) -> dict[str, Any]:
        """Return what `from_dict` takes for published weights.

        Args:
            weights: Tensors by their published names.
            folder: Where the published folder has further files.

        Raises:
            KeyError: If they are not the weights of such a model.
        """

    # What a model consists of.

    @abstractmethod
    def embed_text(self, token_ids: Tensor, past: Sequence[int] = ()) -> Tensor:
        """Return inputs [..., E] of text tokens [...].

        Args:
            token_ids: The tokens, [L] if there is a past.
            past: The tokens before them; used if `encodes_text`.
        """

    @property
    @abstractmethod
    def decoder(self) -> Backbone | RelativeStack:
        """The layers that read sequences."""

    @abstractmethod
    def embed_units(self, units: Tensor) -> Tensor:
        """Return inputs [..., E] of speech tokens [...]."""

    @abstractmethod
    def embed_conditions(self, conditions: Mapping[str, Tensor]) -> Tensor:
        """Return the prefix [C, E] of a sequence.

        Args:
            conditions: Vectors [width] by name.

        Raises:
            ValueError: If these are not the conditions that the model takes.
        """

    @abstractmethod
    def score_ids(self, hidden: Tensor) -> Tensor:
        """Return unnormalised log-probabilities [..., S] after hidden states [..., H]."""

    def log_probabilities(self, scores: Tensor) -> Tensor:
        """Return log-probabilities [..., S] of ids in training, of what `score_ids` returns."""
        return scores.float().log_softmax(-1)

    def auxiliary_loss(self) -> Tensor | None:
        """Return a further loss of the newest call, as it is weighted in training; None: none."""
        return None

    def pack(self, lengths: list[int], like: Tensor, watch: int | None = None) -> PackedSequences:
        """Make the context of whole sequences with inputs like these, see `PackedSequences`.

        Raises:
            TypeError: If a layer is to be watched that has no rotated queries and keys.
        """
        if watch is None:
            return self.decoder.pack(lengths, like)
        if not isinstance(self.decoder, Backbone):
            raise TypeError(f"attention of a {type(self).__name__} cannot be guided")
        return self.decoder.pack(lengths, like, watch)

    def read(self, inputs: Tensor, context: DistanceContext) -> Tensor:
        """Return hidden states [..., H] of inputs [..., E]."""
        hidden: Tensor = self.decoder(inputs, context)
        return hidden

    def new_cache(self) -> KVCache:
        """Return a cache for `advance`, without rows."""
        width = self.decoder.rotary_dim
        return KVCache(self.config.architecture, self.device, self.dtype, width)

    # Decoding.

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights, inputs and hidden states."""
        return next(self.parameters()).dtype

    @property
    def parameter_count(self) -> int:
        """Number of parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    def stop_probability(self, hidden: Tensor) -> Tensor:
        """Return zeros [...] for hidden states [..., H]: an id ends speech."""
        return torch.zeros(hidden.shape[:-1], device=hidden.device)

    def draw(self, hidden: Tensor, noise: Tensor) -> Tensor:
        """Raise a `TypeError`: ids are drawn by `sled.model.sampling`."""
        raise TypeError("ids are drawn from their scores")

    def advance(
        self, embeddings: Tensor, rows: list[int], counts: list[int], cache: KVCache
    ) -> Tensor:
        """Read new inputs in each row; see `FrameModel.advance`."""
        return advance_rows(self.read, embeddings, rows, counts, cache)

    def step(self, inputs: StepInputs, cache: KVCache) -> tuple[Tensor, Tensor]:
        """Read one input per row and draw one id per utterance, see `FrameModel.step`."""
        return eager_step(self, inputs, cache)

    def digest(self) -> str:
        """Return a hexadecimal digest of the weights, in the precision they are held in."""
        return tensor_digest(sorted(self.state_dict().items()))

    # Training.

    def initialize(self) -> None:
        """Give a new model its initial weights; but for Qwen2's layers, those of `torch.nn`."""
        for module in self.modules():
            if isinstance(module, Backbone):
                module.initialize(self.config.architecture.initializer_range)

    def training_layout(self, num_text: int, num_speech: int, streaming: bool) -> Layout:
        """Return the layout in which a sample is learned.

        Args:
            num_text: Text tokens of the sample.
            num_speech: Speech tokens of the sample.
            streaming: Whether it is to be learned in the streaming layout, if the model has one.
        """
        return Layout()

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        """Compute states of layers again in the backward pass, to save memory.

        The name and the arguments are those that the Trainer of transformers uses.
        """
        checkpoint_layers(self, gradient_checkpointing_kwargs)

    def forward(
        self, samples: Sequence[TokenSample], guided_layer: int | None = None
    ) -> TokenOutput:
        """Compute the loss of a batch. A sample's states do not depend on the other samples.

        Args:
            samples: The batch.
            guided_layer: The layer of which an attention head is guided to what is said, see
                `sled.model.guided_attention`. None: no layer.

        Raises:
            TypeError: If the model has no attention that can be guided.
        """
        sequences = [self.sequence(sample) for sample in samples]
        lengths = [len(targets) for _, targets in sequences]
        inputs = torch.cat([one for one, _ in sequences])
        targets = torch.cat([one for _, one in sequences])
        context = self.pack(lengths, inputs, guided_layer)
        hidden = self.read(inputs, context)
        scores = self.score_ids(hidden)
        log_p = self.log_probabilities(scores)
        loss = label_smoothed_loss(log_p[None], targets[None])
        correct = accuracy(log_p, targets)
        output = TokenOutput(loss, correct, inputs, hidden, log_p, targets, lengths)
        if guided_layer is None:
            return output
        assert context.watched is not None
        query, key = map(output.rows, context.watched)
        losses = [alignment_loss(*one) for one in zip(samples, query, key, strict=True)]
        num_speech = sum(len(sample.speech) for sample in samples)
        return replace(output, alignment_loss=torch.stack(losses).sum() / num_speech)

    def sequence(self, sample: TokenSample) -> tuple[Tensor, Tensor]:
        """Return the inputs [P, E] of a sample and the targets [P] at its positions."""
        device, end = self.device, self.ids.end
        begin_speech = torch.tensor([self.config.architecture.eos_token_id])
        tokens = torch.cat((sample.text.cpu(), begin_speech)).to(device)
        speech = sample.speech.to(device)
        prefix = self.embed_conditions(sample.conditions)
        arranged = sample.layout.arrange([len(tokens)], [len(speech)], len(prefix)).to(device)
        history = speech if sample.history is None else sample.history.to(device)
        parts = (self.embed_text(tokens), self.embed_units(history), prefix)
        inputs = torch.cat(parts)[arranged.source]
        targets = torch.full((len(inputs),), NO_TARGET, device=device)
        if self.ids.fill is not None:
            targets[arranged.chunk_ends] = self.ids.fill
        targets[arranged.predictor[~arranged.is_stop]] = speech
        assert end is not None
        targets[arranged.predictor[arranged.is_stop]] = end
        return inputs, targets


class SpeechEmbeddingLM(TokenLM):
    """A model with embeddings and scores of speech tokens only, by their published names.

    Attributes:
        llm_embedding: Two special inputs, `START` and `BEGIN_SPEECH`.
        speech_embedding: Inputs of speech tokens.
        llm_decoder: Scores of ids.
    """

    llm_embedding: nn.Embedding
    speech_embedding: nn.Embedding
    llm_decoder: nn.Linear

    @override
    def embed_units(self, units: Tensor) -> Tensor:
        embeddings: Tensor = self.speech_embedding(units)
        return embeddings

    @override
    def score_ids(self, hidden: Tensor) -> Tensor:
        scores: Tensor = self.llm_decoder(hidden)
        return scores
