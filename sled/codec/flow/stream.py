"""Flows that run in chunks, as streams: tokens in, mel frames out, at the same cost for each chunk.

A chunk is encoded and solved once, when its tokens and the look-ahead are there. Keys, values and
convolutions of the encoder, and of each step of the solver, are remembered for the next chunk. The
frames are those of the whole utterance with chunk masks. With a window of frames, attention is
limited to the prompt and the newest frames, so that neither memory nor cost grow.

Shapes: B batch, T tokens, F frames, M mel bands, W width of a speaker vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from sled.codec.flow.attention import ChunkContext
from sled.codec.flow.base import FlowPrompt, fixed_noise, noise_at
from sled.codec.flow.cosyvoice2 import FRAMES_PER_TOKEN, ChunkedFlow
from sled.codec.flow.estimator import FlowInputs
from sled.codec.flow.matching import SolverOptions, guided, solve
from sled.codec.memory import Memory, Window
from sled.codec.stream_state import LayerState


@dataclass(frozen=True, eq=False)
class FlowState:
    """A stream as a value. Rows of states whose tensors have the same shapes can be joined.

    Attributes:
        tokens: int64 [B, T, ...] tokens that wait.
        mel: [B, M, F] the mel spectrogram of those of them that belong to the prompt.
        position: int64 [B] tokens that have been solved.
        prompt: [B, P, 0] its shape tells the number of tokens of the prompt.
        stage: [B, n, 0] its shape tells n, the `ChunkedFlow.stage_at` this place.
        memories: What the encoder remembers at the rate of tokens and at that of frames, and what
            the estimator remembers in each step, [B, 1 or 2, ...]. Empty at the beginning.
    """

    tokens: Tensor
    mel: Tensor
    position: Tensor
    prompt: Tensor
    stage: Tensor
    memories: tuple[LayerState, ...] = ()

    @classmethod
    def new(cls, flow: ChunkedFlow, prompt: FlowPrompt) -> FlowState:
        """The state at the beginning.

        Raises:
            ValueError: If tokens and frames of the prompt do not fit.
        """
        batch, count = prompt.tokens.shape[:2]
        if prompt.mel.shape[-1] != FRAMES_PER_TOKEN * count:
            raise ValueError(
                f"a prompt has {FRAMES_PER_TOKEN} mel frames for each token; this one has "
                f"{count} tokens and {prompt.mel.shape[-1]} frames"
            )
        position = torch.zeros(batch, dtype=torch.long, device=flow.device)
        mark = torch.zeros(batch, count, 0, device=flow.device)
        stage = mark.new_zeros(batch, flow.stage_at(0, count), 0)
        return cls(prompt.tokens, prompt.mel, position, mark, stage)

    def layers(self) -> tuple[LayerState, ...]:
        """All but the tokens, as the layers of a `StreamState`."""
        return ((self.mel, self.position, self.prompt, self.stage), *self.memories)

    @classmethod
    def of_layers(cls, tokens: Tensor, layers: Sequence[LayerState]) -> FlowState:
        """Undo `layers`."""
        (mel, position, prompt, stage), *memories = layers
        return cls(tokens, mel, position, prompt, stage, tuple(memories))


class FlowStream:
    """Solves the chunks of streams.

    Args:
        flow: The flow.
        options: How it is solved.
        left_frames: Newest frames that a chunk attends to, beside its own and the prompt.
            None: all.
        noise: [M, N] the noise of the frames from the first on. None: the fixed noise.
    """

    def __init__(
        self,
        flow: ChunkedFlow,
        options: SolverOptions,
        left_frames: int | None = None,
        noise: Tensor | None = None,
    ) -> None:
        if left_frames is not None and (left_frames < 0 or left_frames % FRAMES_PER_TOKEN):
            raise ValueError(f"left_frames must be a multiple of 2 from 0, got {left_frames}")
        self._flow, self._options, self._left = flow, options, left_frames
        self._noise = fixed_noise(flow.num_mels) if noise is None else noise

    def waits_for(self, state: FlowState) -> int:
        """How many tokens are missing for the next chunk; 0 or less: none."""
        return self._chunk(state) + self._flow.lookahead - state.tokens.shape[1]

    def feed(
        self, state: FlowState, tokens: Tensor, speaker: Tensor, *, last: bool = False
    ) -> tuple[Tensor, FlowState]:
        """Feed the next tokens.

        Args:
            state: The state, which is not changed.
            tokens: int64 [B, T, ...], T >= 0.
            speaker: [B, W].
            last: Whether these are the last ones.

        Returns:
            The next mel frames [B, M, F], without those of the prompt, and the new state.
        """
        state = replace(state, tokens=torch.cat((state.tokens, tokens), 1))
        speaker = self._flow.project_speaker(speaker)
        pieces = [torch.zeros(len(speaker), self._flow.num_mels, 0, device=speaker.device)]
        while state.tokens.shape[1] and (last or self.waits_for(state) <= 0):
            mel, state = self._solve_chunk(state, speaker)
            pieces.append(mel)
        return torch.cat(pieces, -1), state

    def _chunk(self, state: FlowState) -> int:
        """Tokens of the next chunk, which is the same for all rows, as they are at one stage."""
        return self._flow.chunk_after(int(state.position[0]), state.prompt.shape[1])

    def _solve_chunk(self, state: FlowState, speaker: Tensor) -> tuple[Tensor, FlowState]:
        """Solve the first chunk of those tokens that wait."""
        flow, prompt = self._flow, state.prompt.shape[1]
        tokens, later = state.tokens.tensor_split((self._chunk(state),), 1)
        frames = FRAMES_PER_TOKEN * tokens.shape[1]
        given, mel_later = state.mel.tensor_split((frames,), -1)

        left = None if self._left is None else self._left // FRAMES_PER_TOKEN
        token_memory = self._memory(state, 0, Window(prompt, left))
        frame_window = Window(FRAMES_PER_TOKEN * prompt, self._left)
        frame_memory = self._memory(state, 1, frame_window)
        states = flow.encoder.step(
            flow.embed_tokens(tokens),
            flow.embed_tokens(later[:, : flow.lookahead]),
            state.position,
            token_memory,
            frame_memory,
        )
        mu = flow.encoder_proj(states).mT
        shown = F.pad(given, (0, frames - given.shape[-1]))
        mel, solver_memories = self._solve(FlowInputs(mu, speaker, shown), state, frame_window)
        memories = (tuple(token_memory.after), tuple(frame_memory.after), *solver_memories)
        position = state.position + tokens.shape[1]
        new = FlowState(
            later.clone(),
            mel_later.clone(),
            position,
            state.prompt,
            state.prompt.new_zeros(len(position), flow.stage_at(int(position[0]), prompt), 0),
            memories,
        )
        # The frames of the prompt are known.
        return mel[..., given.shape[-1] :], new

    def _solve(
        self, inputs: FlowInputs, state: FlowState, window: Window
    ) -> tuple[Tensor, list[LayerState]]:
        """Solve one chunk; returns its mel frames [B, M, F], and what each step remembers."""
        flow, after = self._flow, list[LayerState]()
        copies = 2 if self._options.guidance else 1
        batch, _, frames = inputs.mu.shape
        if copies == 2:
            inputs = inputs.with_empty()
        mask = inputs.mu.new_ones(copies * batch, 1, frames)
        nowhere = torch.zeros(1, frames, dtype=torch.long, device=mask.device)

        def estimate(step: int, x: Tensor, time: Tensor) -> Tensor:
            memory = self._memory(state, 2 + step, window, copies)
            context = ChunkContext(nowhere, 0, x, None, memory)
            velocity: Tensor = flow.estimator(x, time, inputs, mask, context, memory)
            after.append(tuple(one.view(batch, copies, *one.shape[1:]) for one in memory.after))
            return velocity

        velocity = guided(estimate, self._options) if copies == 2 else estimate
        noise = noise_at(FRAMES_PER_TOKEN * state.position, frames, self._noise)
        return solve(velocity, noise, self._options), after

    def _memory(self, state: FlowState, number: int, window: Window, copies: int = 0) -> Memory:
        """One of the memories of a state; with copies, their rows are flattened."""
        before: Sequence[Tensor] | None = None
        if state.memories:
            before = state.memories[number]
            if copies:
                before = [one.flatten(0, 1) for one in before]
        return Memory(before, False, window)
