"""A recogniser that listens to what a model draws in training, as a reward.

The score teaches a model how frames are distributed, not that words are understood. Here frames
that the model draws become speech, by the codec's decoder, and the network of `sled align` listens
to it. Its loss (connectionist temporal classification, Graves et al. 2006) has a gradient for all
that has drawn the frames, so the reward is learned directly (Clark et al. 2023, arXiv 2309.17400).
Judge the result by another recogniser: a model can learn to please the one that it has trained
with.

Shapes: B samples, T frames, F frames of a whole batch, H hidden width; `*unit` is the shape of a
unit.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sled.codec import Codec
from sled.data.alignment.features import SAMPLE_RATE
from sled.data.alignment.trained import TrainedAligner
from sled.model.batch import SpeechBatch
from sled.model.lm import SpeechLM
from sled.text.tokenizer import TextTokenizer
from sled.training.objectives import draw_frames


class Recognition:
    """The loss of a recogniser on frames that a model draws.

    Args:
        aligner: The recogniser. Its weights do not change.
        codec: Codec of the model, with its transforms.
        tokenizer: Tokenizer of the model.
        seconds: How much of each batch is listened to: whole samples, drawn at random until there
            is as much.

    Raises:
        ValueError: If the codec has no gradients or not the sample rate of the recogniser, or the
            recogniser spells other texts than the model reads.
    """

    def __init__(
        self, aligner: TrainedAligner, codec: Codec, tokenizer: TextTokenizer, seconds: float
    ) -> None:
        if not codec.unit_dtype.is_floating_point or codec.sample_rate != SAMPLE_RATE:
            raise ValueError(
                f"--aligner listens to codecs of latent vectors at {SAMPLE_RATE} Hz: leave it out"
            )
        ours, theirs = tokenizer.normalization, aligner.text_normalization
        if ours != theirs:
            raise ValueError(
                f"--aligner: the model reads texts as {ours or 'they are'}, this network spells "
                f"them as {theirs or 'they are'}: train one by sled align --text_normalization "
                f"{ours or 'none'}"
            )
        aligner.network.requires_grad_(False)
        self._aligner, self._codec, self._tokenizer = aligner, codec, tokenizer
        self._num_frames = seconds * codec.frame_rate

    def __call__(
        self, model: SpeechLM, states: Tensor, batch: SpeechBatch, units: Tensor
    ) -> Tensor:
        """Compute the loss, in nats per symbol, of samples whose text the model has read.

        Frames are the mean of two draws, at a random temperature for each sample, up to 1, as in
        scheduled sampling. Given frames are those of the recording.

        Args:
            model: Draws the frames.
            states: [F, H] the states before all real frames.
            batch: What the model has read.
            units: [B, T, *unit] the true units.
        """
        lengths = batch.frame_mask.sum(1).tolist()
        chosen = self._choose(batch, lengths)
        if not chosen:
            return states.new_zeros(())
        of_sample = torch.split(states, lengths)
        frames = [
            self._draw(model, of_sample[row]).where(
                batch.learned[row, : lengths[row], None], units[row, : lengths[row]]
            )
            for row in chosen
        ]
        return self.loss(frames, [self._text(batch, row) for row in chosen])

    def loss(self, units: list[Tensor], texts: list[str]) -> Tensor:
        """Compute the loss of units [T, D] of some samples, given the text of each, normalised.

        Samples that are too short for their text, and texts without a letter, do not count.
        """
        audio = self._codec.decode(pad_sequence(units, batch_first=True))
        heard = [
            samples[: len(one) * self._codec.hop_length]
            for one, samples in zip(units, audio, strict=True)
        ]
        symbols = [self._symbols(text) for text in texts]
        losses = self._aligner.loss(heard, symbols, zero_infinity=True)
        counts = torch.tensor([len(one) for one in symbols])[losses > 0]
        return (losses.sum() / counts.sum().clamp(min=1)).to(audio.device)

    def _symbols(self, text: str) -> Tensor:
        alphabet = self._aligner.alphabet
        known = "".join(one for one in text if one.isspace() or alphabet.knows(one))
        return torch.tensor(alphabet.encode(known.split()), dtype=torch.long)

    def _choose(self, batch: SpeechBatch, lengths: list[int]) -> list[int]:
        """Samples to listen to; texts that were dropped for guidance are nobody's aim."""
        has_text = (batch.attention_mask.sum(1) > 1).tolist()
        chosen: list[int] = []
        left = self._num_frames
        for row in torch.randperm(len(lengths)).tolist():
            if has_text[row] and lengths[row] and left > 0:
                chosen.append(row)
                left -= lengths[row]
        return chosen

    def _draw(self, model: SpeechLM, states: Tensor) -> Tensor:
        """Draw the units [T, D] after states [T, H]."""
        noise = torch.randn(len(states), model.noise_width, device=states.device)
        noise = torch.rand((), device=states.device) * noise
        return draw_frames(model, states, noise).float()

    def _text(self, batch: SpeechBatch, row: int) -> str:
        """The text that the model has read, normalised."""
        ids = batch.input_ids[row][batch.attention_mask[row].bool()].tolist()
        return self._tokenizer.decode(ids)
