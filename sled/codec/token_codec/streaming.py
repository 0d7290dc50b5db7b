"""A codec of speech tokens as a stream: tokens in, samples out.

A flow that runs in chunks gives mel frames as soon as a chunk and its look-ahead are there. One
that sees the whole utterance gives all at the end. The vocoder stays behind by its own look-ahead.

Shapes: B utterances, T tokens, F mel frames, M mel bands, S samples, W width of a speaker vector.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
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

# A flow that sees whole utterances needs all frames before it gives the first samples.
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
        self._flow, self._vocoder, self._solver = flow, VocoderStream(vocoder), settings.solver
        self._speaker, self._prompt, self._batch = speaker, prompt, len(speaker)
        self._hop = round(vocoder.sizes.sampling_rate / flow.token_rate)
        self._stream: FlowStream | None = None
        if isinstance(flow, ChunkedFlow):
            left = flow.left_frames if settings.left_frames is None else settings.left_frames
            self._stream = FlowStream(flow, settings.solver, None if left < 0 else left)
            frames = 1
            while not self.samples_after(frames):
                frames += 1
            self.lookahead_frames = frames - 1
            self.delayed_frames = frames - self.samples_after(frames) // self._hop
        else:
            self.lookahead_frames = ALL_FRAMES
        self.state = self._new_state()

    def _new_state(self) -> StreamState:
        shape = (self._batch, self._token_width, 0)
        return StreamState(torch.zeros(shape, dtype=torch.long, device=self._flow.device))

    @property
    def _token_width(self) -> int:
        return self._flow.token_shape[0] if self._flow.token_shape else 1

    @override
    def samples_after(self, frames: int) -> int:
        if not isinstance(self._flow, ChunkedFlow):
            return 0
        prompt, solved = self._prompt.tokens.shape[1], 0
        while True:
            chunk = self._flow.chunk_after(solved, prompt)
            if solved + chunk + self._flow.lookahead > prompt + frames:
                break
            solved += chunk
        return self._vocoder.samples_after(FRAMES_PER_TOKEN * max(0, solved - prompt))

    @override
    @torch.no_grad()
    def decode(self, units: Tensor) -> Tensor:
        wanted = (self._batch, *self._flow.token_shape)
        if (len(units), *units.shape[2:]) != wanted or units.is_floating_point():
            inside = "".join(f", {size}" for size in wanted[1:])
            raise ValueError(
                f"speech tokens must be integers [{self._batch}, frames{inside}], got "
                f"{units.dtype} {list(units.shape)}"
            )
        return self._feed(units.to(self._flow.device), last=False)

    @override
    @torch.no_grad()
    def finish(self) -> Tensor:
        shape = (self._batch, 0, *self._flow.token_shape)
        empty = torch.zeros(shape, dtype=torch.long, device=self._flow.device)
        samples = self._feed(empty, last=True)
        self.state = self._new_state()
        return samples

    def _feed(self, units: Tensor, *, last: bool) -> Tensor:
        """Samples [B, S] of the next units; sets the state unless they are the last ones."""
        state = self.state
        waiting = state.waiting.mT.view(self._batch, -1, *self._flow.token_shape)
        with torch.autocast(units.device.type, enabled=False):
            if self._stream is None:
                return self._feed_whole(torch.cat((waiting, units), 1), last)
            flow_state, vocoder_state = self._parts(waiting, state.layers)
            mel, flow_state = self._stream.feed(flow_state, units, self._speaker, last=last)
            samples, vocoder_state = self._vocoder.feed(vocoder_state, mel, last=last)
        if not last:
            tokens = flow_state.tokens.reshape(self._batch, -1, self._token_width).mT
            self.state = StreamState(tokens, (vocoder_state, *flow_state.layers()))
        return samples

    def _parts(self, waiting: Tensor, layers: Sequence[LayerState]) -> tuple[FlowState, LayerState]:
        """The states of flow and vocoder."""
        assert isinstance(self._flow, ChunkedFlow)
        if not layers:
            new = self._vocoder.new_state(self._batch, waiting.device)
            return FlowState.new(self._flow, self._prompt), new
        vocoder, *flow = layers
        return FlowState.of_layers(waiting, flow), vocoder

    def _feed_whole(self, tokens: Tensor, last: bool) -> Tensor:
        """Keep tokens [B, T] until the last ones come; then all samples."""
        assert isinstance(self._flow, WholeFlow)
        kept = self.state.layers  # a recording that the speech continues
        prompt = FlowPrompt(*kept[0]) if kept else self._prompt
        if not last:
            has_prompt = prompt.tokens.shape[1] > 0
            layers = ((prompt.tokens, prompt.mel),) if has_prompt else ()
            self.state = StreamState(tokens[:, None], layers)
        if not last or not tokens.shape[1]:
            return self._speaker.new_zeros(self._batch, 0)
        mel = self._flow.mel_of(tokens, self._speaker, prompt, self._solver)
        state = self._vocoder.new_state(self._batch, tokens.device)
        samples, _ = self._vocoder.feed(state, mel, last=True)
        # Frames and tokens have rates without a common divisor.
        wanted = tokens.shape[1] * self._hop
        return F.pad(samples, (0, max(0, wanted - samples.shape[-1])))[:, :wanted]
