"""An utterance being decoded: its text, which may still grow, and its position in the layout.

Everything here is plain data. Only the decoder changes an utterance that has joined it.

Shapes: P frames of a prompt, H hidden width; `...` is the shape of a unit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sled.decoding.options import (
    OFFLINE_STOP_THRESHOLD,
    STREAM_STOP_THRESHOLD,
    DecodingOptions,
)
from sled.decoding.row import Condition, Row
from sled.model.cache import CachedRow
from sled.model.layout import Layout
from sled.model.token_passage import TextPosition


@dataclass(frozen=True, eq=False)
class Request:
    """What to speak.

    Attributes:
        token_ids: The text, with `<s>` first and, if the text is complete, `</s>` last.
        prompt: Units [P, ...] of a speech prefix whose text opens `token_ids`. None: no prompt.
        text_ended: Whether the text is complete.
        prompt_tokens: How many of `token_ids` belong to the prompt.
        conditions: Vectors [width] by name that the model takes beside text and prompt, such as a
            speaker embedding.
    """

    token_ids: Sequence[int]
    prompt: Tensor | None = None
    text_ended: bool = True
    prompt_tokens: int = 0
    conditions: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(eq=False)
class Utterance:
    """A request being decoded; made by `Decoder.join`, and the caller's handle for it.

    While an utterance is in the decoding batch, frames are counted there: `num_written` and the
    frames of its rows are then as old as the last `Decoder.update`. Its text is always up to
    date.

    Attributes:
        rows: The row with text and, under guidance, a second one: the same speech after the single
            token `</s>`.
        options: How units are drawn, and when speech ends.
        generator: Draws the noise, or the ids. None: the decoder's `draw_noise` does.
        prompt_frames: Frames of the prompt.
        prompt_tokens: Tokens of the prompt.
        num_written: Frames written after the prompt.
        text_position: Which token is being said, if the decoder has a text tracker.
        paused: Whether the decoder skips it; changed by `Decoder.pause` and `Decoder.resume`.
        recent: The newest ids that were drawn, those of fills included, if units are ids.
        resting: Whether the decoder skips it for the sake of others; changed by `Decoder.rest`.
    """

    rows: list[Row]
    options: DecodingOptions
    generator: torch.Generator | None
    prompt_frames: int = 0
    prompt_tokens: int = 0
    num_written: int = 0
    text_position: TextPosition | None = None
    paused: bool = False
    recent: list[int] = field(default_factory=list)
    resting: bool = False

    @classmethod
    def begin(
        cls,
        request: Request,
        conditions: Iterable[Tensor],
        options: DecodingOptions,
        generator: torch.Generator | None,
        layout: Layout,
        eos_token_id: int,
    ) -> Utterance:
        """An utterance of which nothing has been read.

        Args:
            request: What to speak.
            conditions: Embeddings [H] of the request's conditions.
            options: How to draw, and when to stop.
            generator: Draws the noise.
            layout: The order of text and speech.
            eos_token_id: The token `</s>`.
        """
        prompt = [] if request.prompt is None else list(request.prompt)
        first = [Condition(embedding) for embedding in conditions]
        rows = [Row(layout, request.token_ids, request.text_ended, prompt, first)]
        if options.guided:
            rows.append(Row(layout, [eos_token_id], True, prompt, first))
        return cls(rows, options, generator, len(prompt), request.prompt_tokens)

    def extend_prompt(self, token_ids: Sequence[int], units: Tensor) -> None:
        """Append text and units [P, ...] to the prompt, before any frame is written."""
        self.rows[0].add_text(token_ids, ended=False)
        for row in self.rows:
            row.add_prompt(units)
        self.prompt_tokens += len(token_ids)
        self.prompt_frames += len(units)

    def append_frames(self, unit: Tensor, count: int) -> None:
        """Append `count` frames, of which the model has not read the newest, `unit`."""
        for row in self.rows:
            row.append_frames(unit, count)
        self.num_written += count

    def remember(self, unit: int) -> None:
        """Count a drawn id among the newest ones."""
        window = self.options.sampling.window
        self.recent = [*self.recent, unit][-window:] if window else []

    def end_chunk(self) -> None:
        """End the chunk of speech before it is full, after its newest input has been read.

        In the row without text, nothing comes between two frames: its newest input stays unread.
        """
        self.rows[0].end_chunk()

    @property
    def is_ready(self) -> bool:
        """Whether its next frame can be drawn and it is not to be skipped."""
        return not (self.waits_for_text or self.paused or self.resting)

    @property
    def waits_for_text(self) -> bool:
        """Whether its next frame needs text that has not come."""
        return not self.rows[0].is_ready

    @property
    def num_unread(self) -> int:
        """Inputs to read before its next frame, of the row with the most of them."""
        return max(len(row.unread) for row in self.rows)

    @property
    def stop_threshold(self) -> float:
        """The stop probability at which it stops."""
        if self.options.stop_threshold is not None:
            return self.options.stop_threshold
        offline = self.rows[0].layout.is_offline
        return OFFLINE_STOP_THRESHOLD if offline else STREAM_STOP_THRESHOLD

    @property
    def num_tokens(self) -> int:
        """Tokens of its text so far; of the prompt's tokens, only `<s>` counts."""
        return len(self.rows[0].token_ids) - max(0, self.prompt_tokens - 1)

    def num_text_tokens(self, before: int, after: int) -> int:
        """As `num_tokens`, without the prompt and without any token that is no text.

        Args:
            before: How many such tokens come before every text, that of the prompt included.
            after: How many come after it.
        """
        row = self.rows[0]
        known = len(row.token_ids) - max(before, self.prompt_tokens)
        return known - after * row.text_ended

    @property
    def num_tokens_waiting(self) -> int:
        """Tokens of its text whose turn in the layout has not come."""
        return self.rows[0].num_tokens_waiting

    def unread_text(self, num_begin: int) -> list[int] | None:
        """The tokens of its text, without the prompt's, that the model has not read.

        Args:
            num_begin: How many tokens that are no text come before every text.

        Returns:
            The tokens. None: the model has read no token of its text.
        """
        row = self.rows[0]
        first, num_read = max(num_begin, self.prompt_tokens), len(row.tokens_before())
        return row.token_ids[num_read:] if num_read > first else None

    def tokens_read(self, start: int, stop: int) -> list[int]:
        """The tokens `start:stop` of its text, as far as their turn in the layout has come."""
        return self.rows[0].tokens_read(start, stop)

    def tokens_left(self, token: int) -> float:
        """Tokens from this one to the end of the text; infinite while the text may grow."""
        row = self.rows[0]
        return len(row.token_ids) - token if row.has_read_text else math.inf

    @property
    def num_positions(self) -> int:
        """Positions of the model that conditions, text, prompt and written frames fill."""
        row = self.rows[0]
        return row.num_conditions + len(row.token_ids) + self.prompt_frames + self.num_written


@dataclass(frozen=True, eq=False)
class UtteranceState:
    """An utterance as a value. It shares no memory with others and can be restored repeatedly.

    Attributes:
        rows: Its rows.
        cached: The model's keys and values of each row.
        prompt_frames: See `Utterance`, as for the next four attributes.
        prompt_tokens: See there.
        num_written: See there.
        options: See there.
        text_position: See there.
        noise_state: The state of its generator. None: the utterance has no generator.
        recent: See `Utterance`.
    """

    rows: tuple[Row, ...]
    cached: tuple[CachedRow, ...]
    prompt_frames: int
    prompt_tokens: int
    num_written: int
    options: DecodingOptions
    text_position: TextPosition | None
    noise_state: Tensor | None
    recent: tuple[int, ...] = ()

    @classmethod
    def of(cls, utterance: Utterance, cached: tuple[CachedRow, ...]) -> UtteranceState:
        """The state of an utterance that is up to date, with its keys and values."""
        generator = utterance.generator
        return cls(
            tuple(row.copy() for row in utterance.rows),
            cached,
            utterance.prompt_frames,
            utterance.prompt_tokens,
            utterance.num_written,
            utterance.options,
            utterance.text_position,
            None if generator is None else generator.get_state(),
            tuple(utterance.recent),
        )

    def restore(
        self, options: DecodingOptions | None = None, generator: torch.Generator | None = None
    ) -> Utterance:
        """An utterance that continues from this state.

        Args:
            options: How to continue. None: as before.
            generator: Draws the noise from here on. None: a generator in the saved state.

        Raises:
            ValueError: For guidance, if the state was saved without the row it needs.
        """
        options = options or self.options
        copies = 2 if options.guided else 1
        if copies > len(self.rows):
            raise ValueError(f"cfg={options.cfg} needs a state that was saved under guidance")
        if generator is None and self.noise_state is not None:
            generator = torch.Generator()
            generator.set_state(self.noise_state)
        return Utterance(
            [row.copy() for row in self.rows[:copies]],
            options,
            generator,
            self.prompt_frames,
            self.prompt_tokens,
            self.num_written,
            self.text_position,
            recent=list(self.recent),
        )
