"""A trained aligner as a file: the network with the alphabet and the normalisation of its texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sled.data.alignment.features import NUM_FEATURES, Features, pad
from sled.data.alignment.network import CtcNetwork
from sled.data.alignment.spelling import BLANK, Alphabet
from sled.normalization import normalize

_METADATA_KEY = "aligner"


@dataclass(frozen=True, eq=False)
class TrainedAligner:
    """A network that spells what it hears.

    Attributes:
        network: In evaluation mode.
        alphabet: The symbols that it knows.
        text_normalization: Normalisation of texts, see `sled.normalization`.
    """

    network: CtcNetwork
    alphabet: Alphabet
    text_normalization: str | None

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        described = {
            "letters": self.alphabet.letters,
            "fold_case": self.alphabet.fold_case,
            "text_normalization": self.text_normalization,
        }
        save_file(self.network.state_dict(), path, {_METADATA_KEY: json.dumps(described)})

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> TrainedAligner:
        """Read a file that `save` wrote.

        Raises:
            ValueError: If there is none, or it is something else.
        """
        try:
            with safe_open(path, "pt") as file:
                described = json.loads((file.metadata() or {})[_METADATA_KEY])
                tensors = {name: file.get_tensor(name) for name in list(file.keys())}
            letters, fold_case, normalization = (
                described[key] for key in ("letters", "fold_case", "text_normalization")
            )
            alphabet = Alphabet(tuple(letters), fold_case)
            statistics = torch.zeros(NUM_FEATURES), torch.ones(NUM_FEATURES)
            network = CtcNetwork(len(alphabet), *statistics)
            network.load_state_dict(tensors)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise ValueError(
                f"{path} is not the network of an aligner ({type(error).__name__}: "
                f"{str(error).splitlines()[0]}): write one with sled align --network"
            ) from error
        return cls(network.to(device).eval(), alphabet, normalization)

    def losses(self, waveforms: Sequence[Tensor], texts: Sequence[str]) -> list[float]:
        """Compute how unlikely each text is, given its speech.

        Args:
            waveforms: [S] each, at `features.SAMPLE_RATE`.
            texts: What they should say.

        Returns:
            For each the CTC loss (Graves et al. 2006) in nats per symbol of the text: letters and
            ends of words. Infinity if the speech has fewer frames than the text symbols.

        Raises:
            ValueError: If a text has no word, or a letter that the network does not know.
        """
        symbols = [torch.tensor(self._encode(text)) for text in texts]
        with torch.inference_mode():
            losses = self.loss(waveforms, symbols)
        per_symbol: list[float] = (losses / torch.tensor([len(one) for one in symbols])).tolist()
        return per_symbol

    def loss(
        self,
        waveforms: Sequence[Tensor],
        symbols: Sequence[Tensor],
        *,
        zero_infinity: bool = False,
    ) -> Tensor:
        """Compute the CTC loss of each clip in nats, [B] on the CPU.

        Gradients flow to the waveforms.

        Args:
            waveforms: [S] each, at `features.SAMPLE_RATE`.
            symbols: The symbols of each text, int64 [L].
            zero_infinity: Return 0 instead of infinity if a clip has too few frames.
        """
        extract = self._features
        features, lengths = pad([extract(waveform) for waveform in waveforms], extract.device)
        log_probs = self.network(self.network.normalize(features), lengths)
        # Other devices lack the loss, or compute its gradient nondeterministically.
        return F.ctc_loss(
            log_probs.transpose(0, 1).cpu(),
            torch.cat(list(symbols)),
            lengths,
            torch.tensor([len(one) for one in symbols]),
            blank=BLANK,
            reduction="none",
            zero_infinity=zero_infinity,
        )

    @cached_property
    def _features(self) -> Features:
        with torch.inference_mode(False):  # gradients may flow through it later
            return Features(str(self.network.mean.device))

    def _encode(self, text: str) -> list[int]:
        words = normalize(text, self.text_normalization).split()
        try:
            symbols = self.alphabet.encode(words)
        except ValueError as error:
            raise ValueError(
                f"the aligner was trained without a letter of {text!r}: train it on texts like this"
            ) from error
        if not symbols:
            raise ValueError(f"{text!r} has no word")
        return symbols
