"""One utterance on its way: its text, which may still be growing, and the speech so far."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sled.decoding.options import (
    OFFLINE_STOP_THRESHOLD,
    STREAM_STOP_THRESHOLD,
    DecodingOptions,
)
from sled.decoding.text_tracker import Place
from sled.model.cache import CachedRow
from sled.model.layout import Layout


@dataclass(frozen=True, eq=False)
class Request:
    """What to speak.

    Attributes:
        token_ids: The text, `<s>` first and, unless more text follows, `</s>` last.
        prompt: [P, D] latents of a speech prefix whose text opens `token_ids`; None for none.
        text_ended: Whether that is all the text.
        prompt_tokens: How many of `token_ids` are the prompt's.
    """

    token_ids: Sequence[int]
    prompt: Tensor | None = None
    text_ended: bool = True
    prompt_tokens: int = 0


class Row:
    """One sequence of inputs, in the order of the layout: which are known, and how many are read.

    Attributes:
        layout: That order.
        token_ids: The text so far.
        text_ended: Whether it is all.
        num_frames: Frames put into the order so far: of the prompt, then those written.
        unread: Inputs that are due and have not been read: tokens as numbers, frames as [D].
        index: Where the decoder's cache keeps it.
    """

    index: int

    def __init__(
        self, layout: Layout, token_ids: Iterable[int], text_ended: bool, prompt: Iterable[Tensor]
    ) -> None:
        self.layout = layout
        self.token_ids, self.text_ended = list(token_ids), text_ended
        self.num_frames = 0
        self.unread: list[int | Tensor] = []
        self._tokens_taken = 0
        self._prompt = deque(prompt)
        self._line_up()

    def copy(self) -> Row:
        """A row that goes its own way from here on."""
        other = copy(self)
        other.token_ids, other.unread = list(self.token_ids), list(self.unread)
        other._prompt = deque(self._prompt)
        return other

    def add_text(self, token_ids: Iterable[int], ended: bool) -> None:
        """More of the text, and whether it is the end of it."""
        assert not self.text_ended, "the text has ended"
        self.token_ids += token_ids
        self.text_ended = ended
        self._line_up()

    def take_unread(self, count: int | None = None) -> list[int | Tensor]:
        """The next unread inputs, to be read: so many of them, but not the newest; or all."""
        stop = len(self.unread) if count is None else min(count, len(self.unread) - 1)
        taken, self.unread = self.unread[:stop], self.unread[stop:]
        return taken

    def take_unread_text(self) -> list[int]:
        """The tokens whose turn has not come, which the row forgets."""
        unread = self.token_ids[self._tokens_taken :]
        del self.token_ids[self._tokens_taken :]
        return unread

    def write(self, frame: Tensor, count: int = 1) -> None:
        """Append so many frames, of which only the newest, [D], has not been read."""
        self.unread.append(frame)
        self.num_frames += count
        self._line_up()

    def tokens_read(self, start: int, stop: int) -> list[int]:
        """Those of the text's tokens `start:stop` whose turn has come."""
        return self.token_ids[start : min(stop, self._tokens_taken)]

    @property
    def num_tokens_waiting(self) -> int:
        """The text's tokens whose turn has not come."""
        return len(self.token_ids) - self._tokens_taken

    @property
    def frames_before_text(self) -> float:
        """Frames that a row that is ready can write before text is due, known or not."""
        if self.has_read_text:
            return math.inf
        return self.layout.frames_in_chunk_after(self.num_frames)

    @property
    def is_ready(self) -> bool:
        """Whether everything is known that comes before the next frame."""
        return not self._prompt and self._tokens_due() <= len(self.token_ids)

    @property
    def has_read_text(self) -> bool:
        """Whether the whole text is before the next frame."""
        return self.text_ended and self._tokens_taken == len(self.token_ids)

    def _tokens_due(self) -> float:
        total = len(self.token_ids) if self.text_ended else math.inf
        return self.layout.tokens_before(self.num_frames, total)

    def _line_up(self) -> None:
        """Put what is known into the order, until text is missing or the next frame's turn."""
        while True:
            due = int(min(self._tokens_due(), len(self.token_ids)))
            if due > self._tokens_taken:
                self.unread += self.token_ids[self._tokens_taken : due]
                self._tokens_taken = due
            if not self._prompt or self._tokens_due() > len(self.token_ids):
                return
            self.unread.append(self._prompt.popleft())
            self.num_frames += 1


class Writer(Protocol):
    """Who writes an utterance's frames without keeping its rows up to date all the time."""

    def settle(self, utterance: Utterance) -> None:
        """Bring the rows of an utterance up to date."""
        ...

    def remove(self, utterance: Utterance) -> None:
        """Let go of an utterance, settled."""
        ...


class Utterance:
    """A request being spoken; made by `Decoder.join`, and a handle for its caller.

    Attributes:
        options: How its frames are drawn and when it ends.
        generator: Draws its noise. None: the decoder's own generator does.
        rows: The row with text and, under guidance, its companion: the same speech, but `</s>`
            alone for a text.
        prompt_frames, prompt_tokens: Of the prompt.
        num_written: Frames written since.
        place: Where in its text it is, if that is kept.
        paused: Whether its next frame shall wait, for any reason outside.
        writer: Who is writing it at present, if anybody.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        options: DecodingOptions,
        generator: torch.Generator | None,
        prompt_frames: int = 0,
        prompt_tokens: int = 0,
        num_written: int = 0,
        place: Place | None = None,
    ) -> None:
        self._rows = list(rows)
        self.options, self.generator = options, generator
        self.prompt_frames, self.prompt_tokens = prompt_frames, prompt_tokens
        self._num_written = num_written
        self.place = place
        self._paused = False
        self.writer: Writer | None = None

    @classmethod
    def begin(
        cls,
        request: Request,
        options: DecodingOptions,
        generator: torch.Generator | None,
        layout: Layout,
        eos_token_id: int,
    ) -> Utterance:
        """A request of which nothing has been read yet."""
        prompt = [] if request.prompt is None else list(request.prompt)
        rows = [Row(layout, request.token_ids, request.text_ended, prompt)]
        if options.guided:
            rows.append(Row(layout, [eos_token_id], True, prompt))
        return cls(rows, options, generator, len(prompt), request.prompt_tokens)

    def write(self, frame: Tensor, count: int) -> None:
        """Append so many frames, of which only the newest, [D], has not been read."""
        for row in self._rows:
            row.unread.clear()
            row.write(frame, count)
        self._num_written += count

    @property
    def rows(self) -> Sequence[Row]:
        if self.writer is not None:
            self.writer.settle(self)
        return self._rows

    @property
    def num_written(self) -> int:
        if self.writer is not None:
            self.writer.settle(self)
        return self._num_written

    # While it is being written, its rows are behind in frames, but not in text.

    def tokens_read(self, start: int, stop: int) -> list[int]:
        """Those of its tokens `start:stop` that come before its next frame."""
        return self._rows[0].tokens_read(start, stop)

    @property
    def num_tokens_waiting(self) -> int:
        """Those of its tokens whose turn has not come."""
        return self._rows[0].num_tokens_waiting

    def tokens_left(self, token: int) -> float:
        """Tokens from this one on; infinite if more may come."""
        row = self._rows[0]
        return len(row.token_ids) - token if row.has_read_text else math.inf

    @property
    def paused(self) -> bool:
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        self._paused = paused
        if paused and self.writer is not None:
            self.writer.remove(self)

    @property
    def is_ready(self) -> bool:
        """Whether its next frame can and shall be drawn."""
        return not self.waits_for_text and not self.paused

    @property
    def waits_for_text(self) -> bool:
        """Whether its next frame cannot be drawn before more text comes."""
        return self.writer is None and not self._rows[0].is_ready

    @property
    def num_unread(self) -> int:
        """Inputs that its rows must read before its next frame, of the row with the most."""
        return max(len(row.unread) for row in self.rows)

    @property
    def stop_threshold(self) -> float:
        """Stop probability at which it stops."""
        if self.options.stop_threshold is not None:
            return self.options.stop_threshold
        offline = self.rows[0].layout.is_offline
        return OFFLINE_STOP_THRESHOLD if offline else STREAM_STOP_THRESHOLD

    @property
    def num_tokens(self) -> int:
        """Tokens of its text so far, without those of the prompt but for its `<s>`."""
        return len(self.rows[0].token_ids) - max(0, self.prompt_tokens - 1)

    @property
    def num_positions(self) -> int:
        """Positions filled by what is known: text, prompt and frames written."""
        return len(self.rows[0].token_ids) + self.prompt_frames + self.num_written


@dataclass(frozen=True, eq=False)
class UtteranceState:
    """An utterance as a value, which shares memory with nothing and can be gone on from often.

    Attributes:
        rows: Its rows.
        cached: What the model remembers of each.
        prompt_frames, prompt_tokens, num_written, place: As of the utterance.
        options: Likewise.
        noise_state: State of its generator; None if it has none of its own.
    """

    rows: tuple[Row, ...]
    cached: tuple[CachedRow, ...]
    prompt_frames: int
    prompt_tokens: int
    num_written: int
    options: DecodingOptions
    noise_state: Tensor | None
    place: Place | None

    def revive(
        self, options: DecodingOptions | None = None, generator: torch.Generator | None = None
    ) -> Utterance:
        """An utterance that stands where this one stood.

        Args:
            options: How to go on. None: as before.
            generator: Draws the noise from here on. None: one that draws what the old would have.

        Raises:
            ValueError: For guidance, if the utterance had no text-free companion.
        """
        options = options or self.options
        copies = 2 if options.guided else 1
        if copies > len(self.rows):
            raise ValueError(f"cfg={options.cfg} needs a state that was saved under guidance")
        if generator is None and self.noise_state is not None:
            generator = torch.Generator()
            generator.set_state(self.noise_state)
        rows = [row.copy() for row in self.rows[:copies]]
        return Utterance(
            rows,
            options,
            generator,
            self.prompt_frames,
            self.prompt_tokens,
            self.num_written,
            self.place,
        )
