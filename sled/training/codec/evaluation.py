"""How well a codec reconstructs validation clips, in numbers, sounds and pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from lhotse import CutSet
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from sled.data.cache.codes import cut_waveform
from sled.training.codec.data import level_db
from sled.training.codec.losses import MelSpectrogram, MultiScaleMelDistance

MAX_PICTURED = 4


def load_eval_clips(cuts: CutSet, sample_rate: int, loudness_db: float) -> list[Tensor]:
    """Whole clips [S] at the given RMS level in dB of full scale."""
    clips = [cut_waveform(cut, sample_rate) for cut in cuts]
    return [clip * 10 ** ((loudness_db - level_db(clip)) / 20) for clip in clips]


@dataclass(frozen=True)
class Reconstruction:
    """What a codec makes of one clip.

    Attributes:
        decoded: waveform [S].
        latents: [1, D, T] that the decoder was given.
        encoded: [1, D, T] the encoder's, before quantisation.
        codes: [K, T] entries of the codebooks; None without codebooks.
    """

    decoded: Tensor
    latents: Tensor
    encoded: Tensor
    codes: Tensor | None = None


@dataclass(frozen=True)
class PredictionReport:
    """How well a decoder decodes the predictions of a model.

    Attributes:
        mel_distance: multi-scale log-mel distance to the recordings in nepers.
        pairs: recording and what the decoder makes of its prediction [S], of the first clips.
    """

    mel_distance: float
    pairs: list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class CodecReport:
    """Result of an evaluation.

    Attributes:
        mel_distance: multi-scale log-mel distance of reconstructions in nepers.
        quantization_error: RMS of what the codebooks miss over the latents' RMS.
        used_entries: for each codebook, how many entries the clips used.
        latent_rms: of the latents that the decoder was given.
        sample_rate: of the audio in Hz.
        pairs: original and reconstruction [S] of the first clips.
        predictions: how well what a model predicts was spoken, if that was asked for.
    """

    mel_distance: float
    quantization_error: float
    used_entries: list[int]
    latent_rms: float
    sample_rate: int
    pairs: list[tuple[Tensor, Tensor]]
    predictions: PredictionReport | None = None

    def __str__(self) -> str:
        predicted = (
            ""
            if self.predictions is None
            else f" ({self.predictions.mel_distance:.3f} of predictions)"
        )
        codes = (
            f", quantisation error {self.quantization_error:.3f}, codes used {self.used_entries}"
            if self.used_entries
            else ""
        )
        return (
            f"mel distance {self.mel_distance:.3f}{predicted}, latent RMS {self.latent_rms:.3f}"
            f"{codes}"
        )

    def write(self, writer: SummaryWriter, step: int) -> None:
        """Add scalars, audio and mel pictures to a TensorBoard log."""
        writer.add_scalar("eval/mel_distance", self.mel_distance, step)
        writer.add_scalar("eval/quantization_error", self.quantization_error, step)
        for level, used in enumerate(self.used_entries):
            writer.add_scalar(f"eval/codes_used/{level}", used, step)
        for index, (original, decoded) in enumerate(self.pairs):
            self._show(writer, step, f"{index}/original", original)
            self._show(writer, step, f"{index}/decoded", decoded)
        if self.predictions is not None:
            writer.add_scalar("eval/predictions_mel_distance", self.predictions.mel_distance, step)
            for index, (original, spoken) in enumerate(self.predictions.pairs):
                self._show(writer, step, f"predictions/{index}/original", original)
                self._show(writer, step, f"predictions/{index}/spoken", spoken)

    def _show(self, writer: SummaryWriter, step: int, tag: str, audio: Tensor) -> None:
        writer.add_audio(tag, audio.clamp(-1, 1), step, sample_rate=self.sample_rate)
        mel = MelSpectrogram(self.sample_rate, 1024, 96, floor=1e-3)(audio[None])[0].T.flip(0)
        image = (mel - mel.min()) / (mel.max() - mel.min()).clamp(min=1e-6)
        writer.add_image(tag, image[None], step)


@torch.no_grad()
def evaluate_codec(
    reconstruct: Callable[[Tensor], Reconstruction],
    clips: Sequence[Tensor],
    sample_rate: int,
    device: torch.device,
) -> CodecReport:
    """Encode and decode clips in float32 and compare.

    Args:
        reconstruct: what the codec makes of a waveform [S].
        clips: waveforms [S].
        sample_rate: of the clips in Hz.
        device: where the codec is.
    """
    distance = MultiScaleMelDistance(sample_rate).to(device)
    distances, errors, powers, codes = [], [], [], []
    pairs: list[tuple[Tensor, Tensor]] = []
    for clip in clips:
        waveform = clip.to(device)
        result = reconstruct(waveform)
        if result.codes is not None:
            codes.append(result.codes)
        distances.append(distance(result.decoded[None], waveform[None]))
        errors.append((result.latents - result.encoded).square().mean())
        powers.append(result.latents.square().mean())
        if len(pairs) < MAX_PICTURED:
            pairs.append((clip, result.decoded.cpu()))
    power = torch.stack(powers).mean()
    return CodecReport(
        mel_distance=float(torch.stack(distances).mean()),
        quantization_error=float((torch.stack(errors).mean() / power).sqrt()),
        used_entries=[len(level.unique()) for level in torch.cat(codes, -1)] if codes else [],
        latent_rms=float(power.sqrt()),
        sample_rate=sample_rate,
        pairs=pairs,
    )


@torch.no_grad()
def evaluate_predictions(
    decode: Callable[[Tensor], Tensor],
    clips: Sequence[tuple[Tensor, Tensor]],
    sample_rate: int,
    device: torch.device,
) -> PredictionReport:
    """Decode what a model predicts in float32, and compare with the recordings.

    Args:
        decode: the waveform [S] that the codec makes of frames [T, D].
        clips: waveform [S] and predicted frames [T, D] of each; the shorter of both counts.
        sample_rate: of the clips in Hz.
        device: where the codec is.
    """
    distance = MultiScaleMelDistance(sample_rate).to(device)
    distances = []
    pairs: list[tuple[Tensor, Tensor]] = []
    for clip, frames in clips:
        spoken = decode(frames.to(device))[: len(clip)]
        waveform = clip.to(device)[: len(spoken)]
        distances.append(distance(spoken[None], waveform[None]))
        if len(pairs) < MAX_PICTURED:
            pairs.append((waveform.cpu(), spoken.cpu()))
    return PredictionReport(float(torch.stack(distances).mean()), pairs)
