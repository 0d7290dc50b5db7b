"""One training step of a flow, also of one that is to need fewer steps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sled.codec.flow.base import DROP_RATE, Flow, FlowBatch, SpeechFlow
from sled.codec.flow.matching import FlowDraws, SolverOptions
from sled.training.epoch_run import mean_over_utterances
from sled.training.flow.batch import flow_batch
from sled.training.optimizer import Adam
from sled.training.processes import ALONE, Processes

logger = logging.getLogger(__name__)

EVAL_SEED = 20_130


@dataclass(frozen=True, kw_only=True)
class FlowTraining:
    """How a flow is trained; defaults as published for CosyVoice.

    Attributes:
        learning_rate: At its highest.
        max_grad_norm: Larger gradients are scaled down.
        schedule: The number of a step, from 0, to a factor of the learning rate. None: constant.
        bf16: Whether the networks compute in bfloat16 where that is safe.
        optimizer: The optimiser.
        prior_steps: Steps at the beginning in which the encoder alone learns, by
            `sled.codec.flow.matching.prior_loss`. A new small flow then learns sooner.
    """

    learning_rate: float = 1e-3
    max_grad_norm: float = 5.0
    schedule: Callable[[int], float] | None = None
    bf16: bool = False
    optimizer: Adam = Adam()
    prior_steps: int = 0


class FlowLearner:
    """A flow and its optimiser.

    Args:
        flow: The flow.
        training: How it is trained.
        generator: Draws times, noise, prompts and chunk masks.
        teacher: Reflow (Liu et al. 2023, section 2.2): a flow whose solutions are learned instead
            of recordings, each with the noise that it was solved from. Paths become straight, so
            that fewer steps suffice. None: recordings are learned.
        solver: How the teacher is solved. Its guidance becomes part of what is learned, so the
            trained flow needs none.
        processes: Those that train the flow together.

    Raises:
        ValueError: If a setting needs a flow with an encoder, and this one has none.
    """

    def __init__(
        self,
        flow: SpeechFlow,
        training: FlowTraining,
        generator: torch.Generator,
        teacher: Flow | None = None,
        solver: SolverOptions = SolverOptions(),  # noqa: B008 (it is frozen)
        processes: Processes = ALONE,
    ) -> None:
        if training.prior_steps and not isinstance(flow, Flow):
            raise ValueError(f"prior_steps: a {flow.KIND} has no encoder that it could teach")
        self.flow, self.training, self.generator = flow.train(), training, generator
        self.teacher: Flow | None = None
        if teacher is not None:
            self.teach(teacher)
        self.solver, self.processes, self.step = solver, processes, 0
        self.optimizer = training.optimizer.make(flow.parameters(), training.learning_rate)

    def teach(self, teacher: Flow) -> None:
        """Let the solutions of a flow be learned from now on.

        Raises:
            ValueError: If the trained flow has no encoder.
        """
        if not isinstance(self.flow, Flow):
            raise ValueError(f"a {self.flow.KIND} has no encoder, as reflow needs it")
        self.teacher = teacher.eval().requires_grad_(False)

    def take(self, batch: dict[str, Any]) -> FlowBatch:
        """Make what the flow learns from of a batch of `sled.data.tokens`; see `flow_batch`."""
        return flow_batch(batch, self.flow)

    def train_batches(self, batches: list[FlowBatch]) -> dict[str, float]:
        """Update the flow by a few batches of each process, which all count alike.

        Returns:
            The mean loss, and the norm of the gradients.
        """
        self.optimizer.zero_grad(set_to_none=True)
        total, count = 0.0, self.processes.sum(len(batches))
        for batch in batches:
            with torch.autocast(batch.mel.device.type, torch.bfloat16, enabled=self.training.bf16):
                loss = self.loss(batch) / count
            torch.autograd.backward(loss)
            total += float(loss.detach())
        self.processes.add_gradients(self.flow.parameters())
        norm = nn.utils.clip_grad_norm_(self.flow.parameters(), self.training.max_grad_norm)
        if self.training.schedule is not None:
            for group in self.optimizer.param_groups:
                group["lr"] = self.training.learning_rate * self.training.schedule(self.step)
        # A step of nan or inf would destroy the weights; skipping one costs nothing.
        if torch.isfinite(norm):
            self.optimizer.step()
        else:
            logger.warning("step %d skipped: gradient norm %s", self.step, float(norm))
        self.step += 1
        return {"loss": self.processes.sum(total), "grad_norm": float(norm)}

    @torch.no_grad()
    def evaluate(self, batches: Iterable[dict[str, Any]]) -> float:
        """Return the mean loss of utterances, always with the same random numbers."""
        flow = self.flow.eval()
        generator = torch.Generator(flow.device).manual_seed(EVAL_SEED)
        taken = (flow_batch(one, flow) for one in batches)
        losses = [(float(flow.loss(one, generator)), len(one.num_tokens)) for one in taken]
        flow.train()
        return mean_over_utterances(losses)

    def learning_rate(self) -> float:
        """Return the learning rate of the newest step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def published_state(self) -> dict[str, Tensor]:
        """Return the weights by their published names."""
        return dict(self.flow.state_dict())

    def loss(self, batch: FlowBatch) -> Tensor:
        """The loss of a batch."""
        flow, learns_alone = self.flow, self.step < self.training.prior_steps
        if self.teacher is None and not learns_alone:
            return flow.loss(batch, self.generator)
        assert isinstance(flow, Flow), "reflow and prior losses need a flow with an encoder"
        draw = torch.rand((), generator=self.generator, device=self.generator.device)
        streaming = bool(draw < 0.5)
        if self.teacher is None:
            return flow.prior_loss(batch, streaming)
        prompt_frames = flow.draw_prompts(batch.num_frames, self.generator)
        draws = FlowDraws.draw(batch.mel, DROP_RATE, self.generator)
        with torch.no_grad():
            known, mask = self.teacher.batch_inputs(batch, prompt_frames, streaming)
            solved = self.teacher.solve(draws.noise, known, self.solver, streaming, mask)
        inputs, mask = flow.batch_inputs(batch, prompt_frames, streaming)
        all_kept = torch.ones_like(draws.keep)
        draws = FlowDraws(draws.time, draws.noise, all_kept)
        return flow.matching_loss(solved, mask, inputs, draws, streaming)

    def state_dict(self) -> dict[str, Any]:
        """The state that a continued run needs, as tensors and plain values."""
        return {
            "step": self.step,
            "generator": self.generator.get_state(),
            "flow": self.flow.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the result of `state_dict`."""
        self.flow.load_state_dict(state["flow"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        self.generator.set_state(state["generator"])
