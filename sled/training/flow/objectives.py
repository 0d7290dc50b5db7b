"""What a flow learns instead of recordings' velocities: its encoder alone, or another flow."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sled.codec.flow.base import DROP_RATE, Flow, FlowBatch, SpeechFlow
from sled.codec.flow.matching import FlowDraws, SolverOptions


def encoder_loss(flow: SpeechFlow, batch: FlowBatch) -> Tensor:
    """The loss of the encoder alone, by `sled.codec.flow.matching.prior_loss`.

    The chunk mask of half of the batches is drawn, as in the loss of the whole flow.

    Args:
        flow: A flow with an encoder.
        batch: What it learns.

    Raises:
        ValueError: If the flow has no encoder.
    """
    flow = require_encoder(flow, "prior_steps")
    return flow.prior_loss(batch, _draw_streaming(flow))


@dataclass(frozen=True, eq=False)
class Reflow:
    """The loss of reflow (Liu et al. 2023, arXiv 2209.03003, section 2.2).

    A flow learns the solutions of a teacher instead of recordings, each with the noise that it was
    solved from. Paths become straight, so that fewer steps suffice.

    Attributes:
        teacher: The teacher, in evaluation mode.
        solver: How it is solved. Its guidance becomes part of what is learned, so the flow needs
            none.
    """

    teacher: Flow
    solver: SolverOptions = SolverOptions()

    def __call__(self, flow: SpeechFlow, batch: FlowBatch) -> Tensor:
        """The loss of a batch.

        Args:
            flow: A flow with an encoder.
            batch: Tokens and speakers; of its mel frames, only prompts are read.

        Raises:
            ValueError: If the flow has no encoder.
        """
        flow = require_encoder(flow, "reflow")
        streaming = _draw_streaming(flow)
        prompt_frames = flow.draw_prompts(batch.num_frames)
        draws = FlowDraws.draw(batch.mel, DROP_RATE)
        with torch.no_grad():
            known, mask = self.teacher.batch_inputs(batch, prompt_frames, streaming)
            solved = self.teacher.solve(draws.noise, known, self.solver, streaming, mask)
        inputs, mask = flow.batch_inputs(batch, prompt_frames, streaming)
        all_kept = torch.ones_like(draws.keep)
        draws = FlowDraws(draws.time, draws.noise, all_kept)
        return flow.matching_loss(solved, mask, inputs, draws, streaming)


def require_encoder(flow: SpeechFlow, what: str) -> Flow:
    """Return a flow that has an encoder.

    Raises:
        ValueError: If it has none; the error tells what needs it.
    """
    if not isinstance(flow, Flow):
        raise ValueError(f"{what}: a {flow.KIND} has no encoder, which that needs")
    return flow


def _draw_streaming(flow: Flow) -> bool:
    return bool(torch.rand((), device=flow.device) < 0.5)
