"""A codec of speech tokens as a stream: tokens in, samples out.

A flow that runs in chunks gives mel frames as soon as a chunk and its look-ahead are there. One
that sees whole utterances gives those of a segment at its end. The vocoder stays behind by its own
look-ahead.

Shapes: B utterances, T tokens, F mel frames, M mel bands, S samples, W width of a speaker vector.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from sled.codec.base import StreamingDecoder
from sled.codec.flow.base import FlowPrompt, SpeechFlow, WholeFlow
from sled.codec.flow.cosyvoice2 import FRAMES_PER_TOKEN, ChunkedFlow
from sled.codec.flow.stream import FlowState, FlowStream
from sled.codec.memory import Memory
from sled.codec.stream_state import LayerState, StreamState
from sled.codec.token_codec.settings import TokenCodecSettings
from sled.codec.vocoder.base import Vocoder

# A flow that sees whole utterances needs all frames of one before it gives the first samples.
ALL_FRAMES = 2**31


class VocoderStream:
    """The vocoder as a stream, whose samples come in whole frames.

    Its state is the mel frames [B, M, F] that wait before there are enough to start, samples
    [B, S] that are ahead of the look-ahead, and the memory of the layers.
    """

    def __init__(self, vocoder: Vocoder) -> None:
        self._vocoder = vocoder

    def new_state(self, batch: int, device: torch.device) -> LayerState:
        """The state at the beginning."""
        mel = torch.zeros(batch, self._vocoder.sizes.in_channels, 0, device=device)
        return (mel, torch.zeros(batch, 0, device=device))

    def samples_after(self, frames: int) -> int:
        """Samples returned once this many mel frames have been fed."""
        return max(0, frames - self._vocoder.lookahead_frames) * self._vocoder.hop_length

    def feed(self, state: LayerState, mel: Tensor, *, last: bool) -> tuple[Tensor, LayerState]:
        """Feed mel frames [B, M, F]; returns samples [B, S] and the new state."""
        waiting, ahead, *memory = state
        vocoder, before = self._vocoder, memory or None
        mel = torch.cat((waiting, mel), -1)
        started, ready = bool(memory), mel.shape[-1] > vocoder.lookahead_frames
        if not started and not ready and not (last and mel.shape[-1]):
            return ahead[:, :0], (mel, ahead)
        layers = Memory(before, ends=last)
        samples = torch.cat((ahead, vocoder.step(mel, layers)), -1)
        if last:
            return samples, ()
        frames = mel.shape[-1] - (0 if started else vocoder.lookahead_frames)
        ready_samples = frames * vocoder.hop_length
        # Layers may be ahead of the look-ahead by less than a frame.
        samples, ahead = samples[:, :ready_samples], samples[:, ready_samples:].clone()
        return samples, (mel[..., :0].clone(), ahead, *layers.after)


class TokenStreamingDecoder(StreamingDecoder):
    """Tokens to speech.

    Args:
        flow: The flow.
        vocoder: The vocoder.
        settings: How they are used.
        speaker: [B, W].
        prompt: What the speech continues. It is read when the stream starts.
    """

    def __init__(
        self,
        flow: SpeechFlow,
        vocoder: Vocoder,
        settings: TokenCodecSettings,
        speaker: Tensor,
        prompt: FlowPrompt,
    ) -> None:
        self._device, self._token_shape = flow.device, flow.token_shape
        self._vocoder, self._solver = VocoderStream(vocoder), settings.solver
        self._speaker, self._prompt, self._batch = speaker, prompt, len(speaker)
        self._hop = round(vocoder.sizes.sampling_rate / flow.token_rate)
        self.state = self._new_state()

    def _new_state(self) -> StreamState:
        return StreamState(self._as_columns(self._no_tokens()))

    def _no_tokens(self) -> Tensor:
        shape = (self._batch, 0, *self._token_shape)
        return torch.zeros(shape, dtype=torch.long, device=self._device)

    def _as_columns(self, tokens: Tensor) -> Tensor:
        """Tokens [B, T, ...] as the inputs [B, C, T] that wait."""
        width = self._token_shape[0] if self._token_shape else 1
        return tokens.reshape(self._batch, -1, width).mT

    def _waiting_tokens(self) -> Tensor:
        """Tokens [B, T, ...] that have been fed before."""
        return self.state.waiting.mT.reshape(self._batch, -1, *self._token_shape)

    @override
    @torch.no_grad()
    def decode(self, units: Tensor) -> Tensor:
        wanted = (self._batch, *self._token_shape)
        if (len(units), *units.shape[2:]) != wanted or units.is_floating_point():
            inside = "".join(f", {size}" for size in wanted[1:])
            raise ValueError(
                f"speech tokens must be integers [{self._batch}, frames{inside}], got "
                f"{units.dtype} {list(units.shape)}"
            )
        with torch.autocast(self._device.type, enabled=False):
            return self._feed(units.to(self._device))

    @override
    @torch.no_grad()
    def finish(self) -> Tensor:
        with torch.autocast(self._device.type, enabled=False):
            samples = self._end()
        self.state = self._new_state()
        return samples

    @abstractmethod
    def _feed(self, tokens: Tensor) -> Tensor:
        """Feed tokens [B, T, ...]; returns samples [B, S], and sets the state."""

    @abstractmethod
    def _end(self) -> Tensor:
        """The remaining samples [B, S]."""


class ChunkStreamingDecoder(TokenStreamingDecoder):
    """The stream of a flow that runs in chunks; arguments as for `TokenStreamingDecoder`."""

    def __init__(
        self,
        flow: ChunkedFlow,
        vocoder: Vocoder,
        settings: TokenCodecSettings,
        speaker: Tensor,
        prompt: FlowPrompt,
    ) -> None:
        super().__init__(flow, vocoder, settings, speaker, prompt)
        self._flow = flow
        left = flow.left_frames if settings.left_frames is None else settings.left_frames
        self._stream = FlowStream(flow, settings.solver, None if left < 0 else left)
        frames = 1
        while not self.samples_after(frames):
            frames += 1
        self.lookahead_frames = frames - 1
        self.delayed_frames = frames - self.samples_after(frames) // self._hop

    @override
    def samples_after(self, frames: int) -> int:
        prompt, solved = self._prompt.tokens.shape[1], 0
        while True:
            chunk = self._flow.chunk_after(solved, prompt)
            if solved + chunk + self._flow.lookahead > prompt + frames:
                break
            solved += chunk
        return self._vocoder.samples_after(FRAMES_PER_TOKEN * max(0, solved - prompt))

    @override
    def _feed(self, tokens: Tensor) -> Tensor:
        samples, flow, vocoder = self._step(tokens, last=False)
        self.state = StreamState(self._as_columns(flow.tokens), (vocoder, *flow.layers()))
        return samples

    @override
    def _end(self) -> Tensor:
        return self._step(self._no_tokens(), last=True)[0]

    def _step(self, tokens: Tensor, *, last: bool) -> tuple[Tensor, FlowState, LayerState]:
        """Samples [B, S] of the next tokens, and the states of flow and vocoder after them."""
        flow, vocoder = self._parts(self._waiting_tokens(), self.state.layers)
        mel, flow = self._stream.feed(flow, tokens, self._speaker, last=last)
        samples, vocoder = self._vocoder.feed(vocoder, mel, last=last)
        return samples, flow, vocoder

    def _parts(self, waiting: Tensor, layers: Sequence[LayerState]) -> tuple[FlowState, LayerState]:
        """The states of flow and vocoder."""
        if not layers:
            new = self._vocoder.new_state(self._batch, waiting.device)
            return FlowState.new(self._flow, self._prompt), new
        vocoder, *flow = layers
        return FlowState.of_layers(waiting, flow), vocoder


class WholeStreamingDecoder(TokenStreamingDecoder):
    """The stream of a flow that sees whole utterances; arguments as for `TokenStreamingDecoder`.

    The tokens of a segment wait until it ends. Each segment continues the prompt, as published, and
    only the vocoder goes on from one to the next.

    The state is the tokens that wait, the prompt, the vocoder's state, and as many zeros [B, r] as
    samples are missing: tokens and mel frames have rates without a common divisor, so the frames of
    a segment may be shorter than its tokens by a part of a frame.
    """

    by_segment = True
    lookahead_frames = ALL_FRAMES

    def __init__(
        self,
        flow: WholeFlow,
        vocoder: Vocoder,
        settings: TokenCodecSettings,
        speaker: Tensor,
        prompt: FlowPrompt,
    ) -> None:
        super().__init__(flow, vocoder, settings, speaker, prompt)
        self._flow, self._frame = flow, vocoder.hop_length

    @override
    def samples_after(self, frames: int) -> int:
        return 0

    @override
    def _feed(self, tokens: Tensor) -> Tensor:
        waiting = torch.cat((self._waiting_tokens(), tokens), 1)
        self.state = StreamState(self._as_columns(waiting), self._layers())
        return self._speaker.new_zeros(self._batch, 0)

    def _layers(self) -> tuple[LayerState, ...]:
        """What the state has beside the tokens, also at the beginning of the stream."""
        if self.state.layers:
            return self.state.layers
        new = self._vocoder.new_state(self._batch, self._device)
        return ((self._prompt.tokens, self._prompt.mel), new, (new[1],))

    @override
    @torch.no_grad()
    def end_segment(self) -> Tensor:
        with torch.autocast(self._device.type, enabled=False):
            samples, vocoder, missing = self._solve(last=False)
        layers = (self._layers()[0], vocoder, (missing,))
        self.state = StreamState(self._as_columns(self._no_tokens()), layers)
        return samples

    @override
    def _end(self) -> Tensor:
        samples, _, missing = self._solve(last=True)
        return torch.cat((samples, missing), 1)

    def _solve(self, *, last: bool) -> tuple[Tensor, LayerState, Tensor]:
        """Samples [B, S] of the tokens that wait, the vocoder's state, and missing samples."""
        tokens, ((prompt, prompt_mel), vocoder, (missing,)) = self._waiting_tokens(), self._layers()
        mel = prompt_mel[..., :0]
        if tokens.shape[1]:
            given = FlowPrompt(prompt, prompt_mel)
            mel = self._flow.mel_of(tokens, self._speaker, given, self._solver)
        short = missing.shape[1] + tokens.shape[1] * self._hop - mel.shape[-1] * self._frame
        if mel.shape[-1]:  # the last frame is held as often as frames are missing
            held = mel[..., -1:].expand(-1, -1, max(0, short // self._frame))
            mel, short = torch.cat((mel, held), -1), short - held.shape[-1] * self._frame
        samples, vocoder = self._vocoder.feed(vocoder, mel, last=last)
        return samples, vocoder, samples.new_zeros(self._batch, max(0, short))
