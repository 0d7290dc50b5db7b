"""A spectral codec fed piece by piece, equal to the codec fed the whole at once.

Samples need `lookahead_frames` later latents. A stream keeps its inputs until it has these for the
first samples; afterwards each latent gives the samples of an earlier one. The encoder needs whole
frames only.

Shapes: B batch, S samples, T frames, D latent width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from typing_extensions import override

from sled.codec.base import StreamingDecoder, StreamingEncoder
from sled.codec.spectral.layers import CausalStack
from sled.codec.spectral.network import Spectral
from sled.codec.stream_state import LayerState, StreamState


class SpectralStreamingDecoder(StreamingDecoder):
    """Units to speech.

    Its state is that of the layers and, last, the latest latent, which is held at the end.

    Args:
        model: The networks.
        stack: The layers of its decoder, in any form.
        batch_size: Number of utterances, B.

    Raises:
        ValueError: If the batch is empty.
    """

    def __init__(self, model: Spectral, stack: CausalStack, batch_size: int) -> None:
        self._model, self._decoder, self._stack = model, model.decoder, stack
        self.lookahead_frames = self.delayed_frames = model.config.lookahead_frames
        self.state = _new_state(batch_size, model.config.latent_size, model.device)

    @override
    def samples_after(self, frames: int) -> int:
        return max(0, frames - self.lookahead_frames) * self._decoder.hop_length

    @override
    @torch.no_grad()
    def decode(self, units: Tensor) -> Tensor:
        batch, width, _ = self.state.waiting.shape
        if units.ndim != 3 or units.shape[0] != batch or units.shape[2] != width:
            raise ValueError(f"latents must be [{batch}, frames, {width}], got {list(units.shape)}")
        latents = self._model.to_latents(units.to(self._model.device, torch.float32).mT)
        latents = torch.cat((self.state.waiting, latents), -1)
        if not self.state.started and latents.shape[-1] <= self.lookahead_frames:
            self.state = StreamState(latents)
            return latents.new_empty(batch, 0)
        return self._step(latents)

    @override
    @torch.no_grad()
    def finish(self) -> Tensor:
        state = self.state
        latest = state.layers[-1][0] if state.started else state.waiting[..., -1:]
        if latest.shape[-1] == 0:  # nothing was fed
            return latest.new_empty(len(latest), 0)
        held = latest.expand(-1, -1, self.lookahead_frames)
        audio = self._step(torch.cat((state.waiting, held), -1))
        self.state = _new_state(len(audio), latest.shape[1], latest.device)
        return audio

    def _step(self, latents: Tensor) -> Tensor:
        """Waveforms [B, s] of the next latents [B, D, t]; the first ones include the look-ahead."""
        started = self.state.started
        before = self.state.layers[:-1]
        with torch.autocast(latents.device.type, enabled=False):
            audio, layers = self._stack.step(latents, before)
        latest = latents[..., -1:].clone() if latents.shape[-1] else self.state.layers[-1][0]
        self.state = StreamState(latents[..., :0].clone(), (*layers, (latest,)))
        return audio[:, 0, 0 if started else self._decoder.lookahead_samples :]


class SpectralStreamingEncoder(StreamingEncoder):
    """Speech to codes. Samples wait until they fill a frame.

    Args:
        model: The networks.
        to_codes: What the encoder's stack gives, [B, C, t], to codes [B, K, t].
        batch_size: Number of clips, B.

    Raises:
        ValueError: If the batch is empty.
    """

    def __init__(
        self, model: Spectral, to_codes: Callable[[Tensor], Tensor], batch_size: int
    ) -> None:
        self._model, self._to_codes = model, to_codes
        self._hop = model.config.hop_length
        self.lookahead_samples = self._hop - 1
        self.state = _new_state(batch_size, 1, model.device)

    @override
    def frames_after(self, samples: int) -> int:
        return samples // self._hop

    @override
    @torch.no_grad()
    def encode(self, waveforms: Tensor) -> Tensor:
        if waveforms.ndim != 2 or len(waveforms) != self.state.batch_size:
            raise ValueError(
                f"waveforms must be [{self.state.batch_size}, samples], got {list(waveforms.shape)}"
            )
        samples = waveforms[:, None].to(self._model.device, torch.float32)
        samples = torch.cat((self.state.waiting, samples), -1)
        whole = samples.shape[-1] // self._hop * self._hop
        layers: Sequence[LayerState] = self.state.layers
        with torch.autocast(samples.device.type, enabled=False):
            outputs, after = self._model.encoder.stack.step(samples[..., :whole], layers)
        # The layers have no state, and so the stream has not started, before its first frame.
        if whole:
            layers = after
        self.state = StreamState(samples[..., whole:].clone(), tuple(layers))
        return self._to_codes(outputs)

    @override
    @torch.no_grad()
    def finish(self) -> Tensor:
        missing = -self.state.waiting.shape[-1] % self._hop
        codes = self.encode(self.state.waiting.new_zeros(self.state.batch_size, missing))
        self.state = _new_state(self.state.batch_size, 1, self._model.device)
        return codes


def _new_state(batch_size: int, channels: int, device: torch.device) -> StreamState:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    return StreamState(torch.empty(batch_size, channels, 0, device=device))
