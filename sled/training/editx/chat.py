"""Step-Audio-EditX's language model as a model of speech tokens: a chat whose answer is speech.

A sequence is the token that begins texts, a turn of the system, a turn of a human with the text,
and the answer: speech tokens, and the token that ends a turn. Only the answer is learned. Speech
tokens are of two codebooks, mixed 2:3, and have their own numbers in the vocabulary of the model.

Shapes: P positions of all samples, N targets of all samples, V vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from sled.files.extras import install_command
from sled.model.config import Architecture, Config, Objective, Speaking
from sled.model.ids import SpeechIds
from sled.model.layout import Layout
from sled.model.tokens.losses import accuracy, label_smoothed_loss
from sled.model.tokens.samples import TokenOutput, TokenSample
from sled.text.published_tokenizers import CorpusTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Special tokens of the model.
BEGIN_TEXT, END_TURN, BEGIN_TURN = 1, 3, 4
# The first speech token in the vocabulary, and the number of speech tokens: 1024 and 4096.
FIRST_SPEECH, NUM_SPEECH = 65_536, 1024 + 4096
SYSTEM_PROMPT = "Read the text aloud."
ADAPTER_TARGETS = ("q_proj", "k_proj", "v_proj")
_TRAINED_FILE = "trained.safetensors"


class ChatTokenizer:
    """Turns a text into all that precedes its speech.

    Args:
        tokenizer: The text tokenizer of the model.
        system_prompt: What the system says.
    """

    def __init__(self, tokenizer: CorpusTokenizer, system_prompt: str = SYSTEM_PROMPT) -> None:
        self.tokenizer, self.size = tokenizer, tokenizer.size
        self._system = self._turn("system", system_prompt)

    def _turn(self, speaker: str, text: str) -> list[int]:
        return [BEGIN_TURN, *self.tokenizer.ids(f"{speaker}\n{text}"), END_TURN]

    def ids(self, text: str) -> list[int]:
        """Return the ids of a chat up to the answer."""
        answer = self._turn("assistant", "")[:-1]
        return [BEGIN_TEXT, *self._system, *self._turn("human", text), *answer]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the files of the text tokenizer into a folder."""
        self.tokenizer.save_pretrained(folder)


class ChatLM(nn.Module):
    """A causal language model of transformers that learns answers of speech tokens.

    Args:
        model: The model, with adapters or without.
        first_speech: The number of the first speech token.
        num_speech: Number of speech tokens.

    Attributes:
        config: Sizes that the trainer asks for.
        ids: Speech tokens, and one that ends speech.
        takes_speaker: False.
    """

    takes_speaker = False

    def __init__(
        self,
        model: PreTrainedModel,
        first_speech: int = FIRST_SPEECH,
        num_speech: int = NUM_SPEECH,
    ) -> None:
        super().__init__()
        self.model, self.first_speech = model, first_speech
        self.ids = SpeechIds(num_speech, num_speech + 1)
        theirs: Any = model.config
        if theirs.vocab_size < first_speech + num_speech:
            raise ValueError(
                f"the model has {theirs.vocab_size} tokens, and speech tokens go up to "
                f"{first_speech + num_speech}: name a model with speech tokens"
            )
        architecture = Architecture(
            vocab_size=theirs.vocab_size,
            hidden_size=theirs.hidden_size,
            intermediate_size=theirs.intermediate_size,
            num_hidden_layers=theirs.num_hidden_layers,
            num_attention_heads=theirs.num_attention_heads,
            max_position_embeddings=getattr(theirs, "max_position_embeddings", 8192),
            vae_embed_dim=num_speech,
            head="token",
        )
        self.config = Config(architecture, Objective(), Speaking())

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return next(self.parameters()).dtype

    def training_layout(self, num_text: int, num_speech: int, streaming: bool) -> Layout:
        """Return the offline layout: a chat has its text before its speech."""
        return Layout()

    def auxiliary_loss(self) -> None:
        """Return None: there is no further loss."""
        return None

    def gradient_checkpointing_enable(self, **settings: Any) -> None:
        """Compute states of layers again in the backward pass, to save memory."""
        kwargs = settings.get("gradient_checkpointing_kwargs") or {"use_reentrant": False}
        model: Any = self.model  # not typed in transformers
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=kwargs)

    def forward(self, samples: Sequence[TokenSample], guided_layer: None = None) -> TokenOutput:
        """Compute the loss of the answers of a batch; no attention is guided."""
        device = self.device
        end = torch.tensor([END_TURN])
        answers = [torch.cat((one.speech.cpu() + self.first_speech, end)) for one in samples]
        sequences = [
            torch.cat((sample.text.cpu(), answer))
            for sample, answer in zip(samples, answers, strict=True)
        ]
        padded = pad_sequence(sequences, batch_first=True).to(device)
        lengths = torch.tensor([len(one) for one in sequences], device=device)
        mask = torch.arange(padded.shape[1], device=device) < lengths[:, None]
        scores: Tensor = self.model(input_ids=padded, attention_mask=mask.long()).logits
        # The position before each token of the answer predicts it.
        rows = [
            row_scores[len(sequence) - len(answer) - 1 : len(sequence) - 1]
            for row_scores, sequence, answer in zip(scores, sequences, answers, strict=True)
        ]
        log_p, targets = torch.cat(rows).float().log_softmax(-1), torch.cat(answers).to(device)
        nothing = log_p.new_zeros(int(lengths.sum()), 0)
        return TokenOutput(
            label_smoothed_loss(log_p[None], targets[None]),
            accuracy(log_p, targets),
            nothing,
            nothing,
            log_p,
            targets,
            [len(answer) for answer in answers],
        )

    def trained_state(self) -> dict[str, Tensor]:
        """Return the trained weights, those of adapters if there are any."""
        named = self.named_parameters()
        return {name: one.detach() for name, one in named if one.requires_grad}

    def save(self, folder: Path) -> None:
        """Write a folder: adapters in the form of peft, or the whole model, and what is trained."""
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save_pretrained(str(folder))
        state = {name: one.contiguous() for name, one in self.trained_state().items()}
        save_file(state, folder / _TRAINED_FILE, metadata={"format": "pt"})

    def load(self, folder: Path) -> None:
        """Load the trained weights that `save` wrote."""
        state = load_file(folder / _TRAINED_FILE)
        missing = self.trained_state().keys() ^ state.keys()
        if missing:
            raise ValueError(f"{folder} has other trained weights: {sorted(missing)[0]}")
        self.load_state_dict(state, strict=False)


def load_chat_lm(
    folder: Path,
    *,
    rank: int,
    alpha: int = 32,
    dropout: float = 0.05,
    targets: Sequence[str] = ADAPTER_TARGETS,
    trust_remote_code: bool = False,
    first_speech: int = FIRST_SPEECH,
    num_speech: int = NUM_SPEECH,
) -> ChatLM:
    """Load a model to fine-tune.

    Args:
        folder: Folder of the model, as transformers reads it.
        rank: Rank of adapters, which are trained alone. 0: all weights are trained.
        alpha: Adapters are scaled by alpha / rank.
        dropout: Dropout on the inputs of adapters.
        targets: Linear layers with adapters, by the ends of their names.
        trust_remote_code: Whether code in the folder may run, which the published model needs.
        first_speech: As for `ChatLM`.
        num_speech: As for `ChatLM`.

    Raises:
        ValueError: If there is no such model, or peft is missing.
    """
    from transformers import AutoModelForCausalLM

    if not (folder / "config.json").is_file():
        raise ValueError(f"no model at {folder}: name its folder as model.llm.path")
    uses_code = "auto_map" in json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if uses_code and not trust_remote_code:
        raise ValueError(
            f"{folder} brings code of its own, which would run: if you trust it, set "
            "model.llm.trust_remote_code to true, or trust_remote_code=True where it is loaded"
        )
    model: Any = AutoModelForCausalLM.from_pretrained(
        str(folder),
        dtype=torch.float32,
        trust_remote_code=trust_remote_code,
        use_safetensors=True,
    )
    if rank:
        try:
            from peft import LoraConfig, get_peft_model
        except ImportError as error:
            raise ValueError(f"adapters need peft: run {install_command('finetune')}") from error
        settings = LoraConfig(
            r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(targets)
        )
        model = get_peft_model(model, settings)
    return ChatLM(model, first_speech, num_speech)
