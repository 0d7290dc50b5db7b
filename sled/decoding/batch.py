"""The utterances that write a frame in every step.

Between two chunks of text, all that changes for an utterance is its number of frames. So the batch
counts steps once for all of its utterances, and updates an utterance only when its text is due,
when it ends or when it leaves. The cost of a step hardly grows with the number of utterances.

Shapes: S slots, B utterances, N noise width; `...` is the shape of a unit.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sled.decoding.ids import plan_draws
from sled.decoding.limits import Limits
from sled.decoding.noise import NoiseAhead
from sled.decoding.utterance import Utterance
from sled.model.ids import SpeechIds
from sled.model.interface import NONE, BatchComposition, StepInputs

SLOT = np.dtype(
    [
        ("threshold", np.float64),  # stop probability at which the utterance stops,
        ("stops_from", np.float64),  # once the step count has reached this
        ("look_at", np.float64),  # the step count at which the decoder has to look at it
        ("cfg", np.float32),
        ("temperature", np.float32),
        ("draws", np.int64),
        ("tokens", np.int64, 2),  # that its rows read next; NONE for the newest unit
        ("rows", np.int64, 2),  # their indices in the cache; NONE without a second row
    ]
)


class DecodingBatch:
    """A batch of utterances in steady decoding.

    Args:
        limits: When utterances may stop, and when they must.
        units: An empty tensor [0, ...] with the shape, type and device of units.
        noise: Draws the utterances' noise. None: the caller draws it, or units are ids.
        ids: The ids that units are. None: units are vectors.

    Attributes:
        utterances: B utterances, by slot.
        count: Steps so far.
    """

    def __init__(
        self, limits: Limits, units: Tensor, noise: NoiseAhead | None, ids: SpeechIds | None
    ) -> None:
        self.utterances: list[Utterance] = []
        self.count = 0
        self._limits, self._noise, self._ids = limits, noise, ids
        self._slots: dict[Utterance, int] = {}
        self._updated_at: list[int] = []  # the step counts up to which utterances are updated
        self._data = np.zeros(0, dtype=SLOT)  # [S]
        self._units = units  # [S, ...]
        self._composition: BatchComposition | None = None

    def __contains__(self, utterance: Utterance) -> bool:
        return utterance in self._slots

    # Utterances join and leave.

    def add(self, utterance: Utterance) -> None:
        """Add an utterance that is ready, with one unread input in each row."""
        slot = len(self.utterances)
        if slot == len(self._data):
            self._grow(max(8, 2 * slot))
        self._slots[utterance] = slot
        self.utterances.append(utterance)
        self._updated_at.append(self.count)
        if self._noise is not None:
            self._noise.add(utterance.generator)
        data = self._data[slot]
        for name in ("cfg", "temperature", "draws"):
            data[name] = getattr(utterance.options, name)
        data["threshold"] = utterance.stop_threshold
        indices = [row.index for row in utterance.rows]
        data["rows"] = [*indices, NONE][:2]
        self._composition = None
        self.take_inputs(utterance)
        self.plan(utterance)

    def remove(self, utterance: Utterance) -> None:
        """Update an utterance and remove it; the last one takes its slot."""
        self.update(utterance)
        slot, last = self._slots.pop(utterance), len(self.utterances) - 1
        if self._noise is not None:
            self._noise.remove(slot)
        if slot != last:
            moved = self.utterances[last]
            self.utterances[slot], self._slots[moved] = moved, slot
            self._data[slot], self._units[slot] = self._data[last], self._units[last]
            self._updated_at[slot] = self._updated_at[last]
        del self.utterances[last], self._updated_at[last]
        self._composition = None

    def move_row(self, source: int, target: int) -> None:
        """Record that a row has moved in the cache."""
        rows = self._data["rows"][: len(self.utterances)]
        rows[rows == source] = target
        self._composition = None

    def rewind_noise(self, utterance: Utterance) -> None:
        """Set an utterance's generator to the state after its last frame."""
        if self._noise is not None:
            self._noise.rewind(self._slots[utterance])

    def update(self, utterance: Utterance) -> None:
        """Write the frames since the last update into an utterance and its rows."""
        slot = self._slots[utterance]
        count = self.count - self._updated_at[slot]
        if count:
            self._updated_at[slot] = self.count
            utterance.append_frames(self._units[slot].clone(), count)

    def plan(self, utterance: Utterance) -> None:
        """Compute when an updated utterance may stop, and when the decoder has to look at it."""
        data, limits = self._data[self._slots[utterance]], self._limits
        before = min(limits.frames_before_cut(utterance), utterance.rows[0].frames_before_text)
        data["stops_from"] = self.count + limits.frames_before_stop(utterance)
        data["look_at"] = self.count + max(1, before)

    def take_inputs(self, utterance: Utterance) -> None:
        """Let the next step read the one unread input in each row of an updated utterance."""
        slot = self._slots[utterance]
        tokens = self._data["tokens"][slot]
        for column, row in enumerate(utterance.rows):
            (item,) = row.unread
            tokens[column] = item if isinstance(item, int) else NONE
            if isinstance(item, Tensor):
                self._units[slot] = item

    def _grow(self, size: int) -> None:
        self._data = np.resize(self._data, size)
        units = self._units.new_zeros(size, *self._units.shape[1:])
        units[: len(self._units)] = self._units
        self._units = units

    # A step.

    def inputs(self, noise: Tensor | None) -> StepInputs:
        """The inputs of the next step.

        Args:
            noise: [B, N]. None: drawn by the utterances' generators.
        """
        size = len(self.utterances)
        draws = None
        if self._ids is not None:
            draws = plan_draws(self._ids, self.utterances, self.may_stop())
        if noise is None:
            noise = torch.empty(size, 0) if self._noise is None else self._noise.peek()
        data = self._data[:size]
        if self._composition is None:
            names = ("rows", "cfg", "temperature", "draws")
            self._composition = BatchComposition(*(data[name].copy() for name in names))
        return StepInputs(self._composition, data["tokens"], self._units[:size], noise, draws)

    def draw_ahead(self) -> None:
        """Draw the next step's noise while the model computes this one."""
        if self._noise is not None:
            self._noise.advance()
            self._noise.draw()

    def advance(self, units: Tensor) -> None:
        """Count a step in which the utterances wrote units [B, ...]."""
        size = len(self.utterances)
        self._units[:size] = units
        self._data["tokens"][:size] = NONE
        self.count += 1

    def stops(self, probabilities: Tensor) -> np.ndarray:
        """Which utterances stop at this frame, boolean [B], given stop probabilities [B]."""
        data = self._data[: len(self.utterances)]
        reached = probabilities.cpu().numpy() >= data["threshold"]
        return reached & (data["stops_from"] <= self.count)

    def may_stop(self) -> np.ndarray:
        """Which utterances would stop at a stop probability of 1, boolean [B]."""
        data = self._data[: len(self.utterances)]
        return (data["threshold"] <= 1) & (data["stops_from"] <= self.count)

    def due(self) -> np.ndarray:
        """Which utterances the decoder has to look at, boolean [B]."""
        return self._data["look_at"][: len(self.utterances)] <= self.count
