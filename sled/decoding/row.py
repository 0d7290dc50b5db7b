"""A row: one sequence of inputs of the model, in the order of the layout.

Shapes: H hidden width.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass

from torch import Tensor

from sled.model.layout import Layout


@dataclass(frozen=True, eq=False)
class Condition:
    """An input that is neither a token nor a unit: the embedding [H] of a condition."""

    embedding: Tensor


# What a row reads: a token id, a unit, or a condition.
Input = int | Tensor | Condition


class Row:
    """One sequence of inputs in the order of the layout.

    Attributes:
        layout: The order.
        token_ids: The text so far.
        text_ended: Whether the text is complete.
        num_conditions: Conditions in front of everything else.
        num_frames: Frames in the sequence so far, those of the prompt included.
        num_left_out: Frames that chunks of speech lack because they ended early.
        unread: Inputs that are due and that the model has not read.
        index: The row's index in the decoder's cache.
    """

    index: int

    def __init__(
        self,
        layout: Layout,
        token_ids: Iterable[int],
        text_ended: bool,
        prompt: Iterable[Tensor],
        conditions: Iterable[Condition] = (),
    ) -> None:
        self.layout = layout
        self.token_ids, self.text_ended = list(token_ids), text_ended
        self.num_frames = self.num_left_out = 0
        self.unread: list[Input] = list(conditions)
        self.num_conditions = len(self.unread)
        self._tokens_taken = 0
        self._prompt = deque(prompt)
        self._line_up()

    def copy(self) -> Row:
        """An independent copy."""
        other = copy(self)
        other.token_ids, other.unread = list(self.token_ids), list(self.unread)
        other._prompt = deque(self._prompt)
        return other

    def add_text(self, token_ids: Iterable[int], ended: bool) -> None:
        """Append text; `ended` says whether the text is then complete."""
        assert not self.text_ended, "the text has ended"
        self.token_ids += token_ids
        self.text_ended = ended
        self._line_up()

    def add_prompt(self, units: Iterable[Tensor]) -> None:
        """Append units to the prompt, before any frame is written."""
        self._prompt.extend(units)
        self._line_up()

    @property
    def num_read(self) -> int:
        """Inputs that the model has read."""
        known = self.num_conditions + self._tokens_taken + self.num_frames
        return known - len(self.unread)

    def tokens_before(self) -> list[int]:
        """The tokens of the text that the model has read."""
        waiting = sum(isinstance(item, int) for item in self.unread)
        return self.token_ids[: self._tokens_taken - waiting]

    def append_frames(self, unit: Tensor, count: int) -> None:
        """Append `count` frames, of which the model has not read the newest, `unit`."""
        self.unread = [unit]
        self.num_frames += count
        self._line_up()

    def end_chunk(self) -> None:
        """End the chunk of speech before it is full, after its newest input has been read."""
        self.unread = []
        self.num_left_out += int(self.layout.frames_in_chunk_after(self._frame))
        self._line_up()

    @property
    def is_at_chunk_end(self) -> bool:
        """Whether the newest frame is the last one of its chunk."""
        chunk = self.layout.speech_chunk
        return chunk is not None and self._frame % chunk == 0

    @property
    def _frame(self) -> int:
        """The place of the next frame in the layout."""
        return self.num_frames + self.num_left_out

    def tokens_read(self, start: int, stop: int) -> list[int]:
        """The tokens `start:stop` of the text, as far as their turn in the layout has come."""
        return self.token_ids[start : min(stop, self._tokens_taken)]

    def position_of(self, token: int) -> int:
        """Where in the sequence a token of the text is, unless chunks of speech ended early."""
        return self.num_conditions + token + self.layout.frames_before(token)

    @property
    def num_tokens_waiting(self) -> int:
        """Tokens of the text whose turn in the layout has not come."""
        return len(self.token_ids) - self._tokens_taken

    @property
    def num_tokens_missing(self) -> float:
        """Tokens that the next frame waits for; infinite if it waits for the end of the text."""
        return max(0.0, self._tokens_due() - len(self.token_ids))

    @property
    def frames_before_text(self) -> float:
        """Frames that a row which is ready writes before the next text is due."""
        if self.has_read_text:
            return math.inf
        return self.layout.frames_in_chunk_after(self._frame)

    @property
    def is_ready(self) -> bool:
        """Whether every input before the next frame is known."""
        return not self._prompt and not self.num_tokens_missing

    @property
    def has_read_text(self) -> bool:
        """Whether the whole text comes before the next frame."""
        return self.text_ended and self._tokens_taken == len(self.token_ids)

    def _tokens_due(self) -> float:
        total = len(self.token_ids) if self.text_ended else math.inf
        return self.layout.tokens_before(self._frame, total)

    def _line_up(self) -> None:
        """Move known inputs to `unread` until text is missing or the next frame has to be drawn."""
        while True:
            due = int(min(self._tokens_due(), len(self.token_ids)))
            if due > self._tokens_taken:
                self.unread += self.token_ids[self._tokens_taken : due]
                self._tokens_taken = due
            if not self._prompt or self.num_tokens_missing:
                return
            self.unread.append(self._prompt.popleft())
            self.num_frames += 1
