"""Utterances that write a frame in every step, and nothing else happens to them for a while.

Between two chunks of text an utterance just writes, and what changes with each frame is the same
for all: one more. So frames are counted once for all of them, and an utterance's rows are brought
up to date only when somebody looks at them, when its text is due, or when it ends. A step of a
thousand utterances thus costs little more than that of one.

Shapes: P places, U utterances, D latent width.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sled.decoding.interface import NONE, StepInputs
from sled.decoding.limits import Limits
from sled.decoding.noise import NoiseAhead
from sled.decoding.utterance import Utterance

# What is known of an utterance, place by place. Frames are counted by `Lane.count`.
PLACE = np.dtype(
    [
        ("threshold", np.float64),  # it stops at this probability,
        ("stops_from", np.float64),  # if the count has come so far
        ("look_at", np.float64),  # the count at which something else than writing is due
        ("cfg", np.float32),
        ("temperature", np.float32),
        ("draws", np.int64),
        ("tokens", np.int64, 2),  # that its rows read next; NONE for its frame
        ("rows", np.int64, 2),  # their places in the cache; NONE for a second one it has not
    ]
)


class Lane:
    """See above.

    Args:
        limits: When utterances may stop and when they must.
        latent_dim: D.
        noise: Their noise. None: somebody else draws it.
        device, dtype: Of frames.

    Attributes:
        utterances: U of them; a place is an index here.
        count: Steps so far.
    """

    def __init__(
        self,
        limits: Limits,
        latent_dim: int,
        noise: NoiseAhead | None,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.utterances: list[Utterance] = []
        self.count = 0
        self._limits, self._noise = limits, noise
        self._places: dict[Utterance, int] = {}
        self._settled_at: list[int] = []  # counts up to which rows tell what has been written
        self._data = np.zeros(0, dtype=PLACE)  # [P]
        self._frames = torch.zeros(0, latent_dim, device=device, dtype=dtype)  # [P, D]
        # [U, 2] and [U] as in `StepInputs`, for as long as nobody comes or goes.
        self._company: dict[str, np.ndarray] | None = None

    # Utterances come and go.

    def add(self, utterance: Utterance) -> None:
        """Take in an utterance that is ready, with one input unread in each row."""
        place = len(self.utterances)
        if place == len(self._data):
            self._grow(max(8, 2 * place))
        self._places[utterance] = place
        self.utterances.append(utterance)
        self._settled_at.append(self.count)
        if self._noise is not None:
            self._noise.add(utterance.generator)
        data = self._data[place]
        for name in ("cfg", "temperature", "draws"):
            data[name] = getattr(utterance.options, name)
        data["threshold"] = utterance.stop_threshold
        indices = [row.index for row in utterance.rows]
        data["rows"] = [*indices, NONE][:2]
        self._company = None
        self.take_inputs(utterance)
        self.look_ahead(utterance)

    def remove(self, utterance: Utterance) -> None:
        """Let go of an utterance, settled; the last one fills its place."""
        self.settle(utterance)
        place, last = self._places.pop(utterance), len(self.utterances) - 1
        if self._noise is not None:
            self._noise.remove(place)
        if place != last:
            moved = self.utterances[last]
            self.utterances[place], self._places[moved] = moved, place
            self._data[place], self._frames[place] = self._data[last], self._frames[last]
            self._settled_at[place] = self._settled_at[last]
        del self.utterances[last], self._settled_at[last]
        self._company = None

    def move_row(self, source: int, target: int) -> None:
        """A row has another place in the cache than before."""
        rows = self._data["rows"][: len(self.utterances)]
        rows[rows == source] = target
        self._company = None

    def put_noise_back(self, utterance: Utterance) -> None:
        """Let its generator stand behind its last frame, as if it had never been ahead."""
        if self._noise is not None:
            self._noise.put_back(self._places[utterance])

    def settle(self, utterance: Utterance) -> None:
        """Bring the rows of an utterance up to date."""
        place = self._places[utterance]
        count = self.count - self._settled_at[place]
        if count:
            self._settled_at[place] = self.count
            utterance.write(self._frames[place].clone(), count)

    def look_ahead(self, utterance: Utterance) -> None:
        """Find when it may stop, and when something is due, as its text and speech now stand."""
        data, limits = self._data[self._places[utterance]], self._limits
        before = min(limits.frames_before_cut(utterance), utterance.rows[0].frames_before_text)
        data["stops_from"] = self.count + limits.frames_before_stop(utterance)
        data["look_at"] = self.count + max(1, before)

    def take_inputs(self, utterance: Utterance) -> None:
        """Let the next step read what an utterance, settled, has unread: one input in each row."""
        place = self._places[utterance]
        tokens = self._data["tokens"][place]
        for which, row in enumerate(utterance.rows):
            (item,) = row.unread
            tokens[which] = item if isinstance(item, int) else NONE
            if isinstance(item, Tensor):
                self._frames[place] = item

    def _grow(self, size: int) -> None:
        self._data = np.resize(self._data, size)
        frames = self._frames.new_zeros(size, self._frames.shape[1])
        frames[: len(self._frames)] = self._frames
        self._frames = frames

    # A step.

    def inputs(self, noise: Tensor | None) -> StepInputs:
        """What the next step reads.

        Args:
            noise: [U, N]. None: the lane's own.
        """
        if noise is None:
            assert self._noise is not None
            noise = self._noise.take()
        size = len(self.utterances)
        data = self._data[:size]
        if self._company is None:
            names = ("rows", "cfg", "temperature", "draws")
            self._company = {name: data[name].copy() for name in names}
        frames = self._frames[:size]
        return StepInputs(tokens=data["tokens"], frames=frames, noise=noise, **self._company)

    def draw_ahead(self) -> None:
        """Draw noise that the next step needs, while the model is at work on this one."""
        if self._noise is not None:
            self._noise.draw()

    def advance(self, frames: Tensor) -> None:
        """Everybody has written a frame: [U, D]."""
        size = len(self.utterances)
        self._frames[:size] = frames
        self._data["tokens"][:size] = NONE
        self.count += 1

    def stops(self, probabilities: Tensor) -> np.ndarray:
        """[U] who stops at the frame about to be written, at these stop probabilities [U]."""
        data = self._data[: len(self.utterances)]
        sure = probabilities.cpu().numpy() >= data["threshold"]
        return sure & (data["stops_from"] <= self.count)

    def may_stop(self) -> np.ndarray:
        """[U] who could stop now, at some probability."""
        data = self._data[: len(self.utterances)]
        return (data["threshold"] <= 1) & (data["stops_from"] <= self.count)

    def due(self) -> np.ndarray:
        """[U] who is to be looked at."""
        return self._data["look_at"][: len(self.utterances)] <= self.count
