"""The decoding loop, the only one in this project.

Utterances join and leave at any time, and each advances as its own text allows. Under
classifier-free guidance an utterance has two rows: its text with its speech, and the single token
`</s>` with the same speech. All rows go through the model as one batch. In each step, every row
reads one input, its newest, and every utterance that is ready writes one frame. Other inputs (a
prompt, a chunk of text) are read just before. Rows are independent, so an utterance gets the same
units in a batch as alone.

Shapes: B utterances in a step, P frames of a prompt, N noise width; `...` is the shape of a unit.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from sled.decoding.attention_tracker import Tracker
from sled.decoding.batch import DecodingBatch
from sled.decoding.ids import take_ids
from sled.decoding.inputs import embed_inputs
from sled.decoding.limits import Limits
from sled.decoding.noise import NoiseAhead
from sled.decoding.options import DecodingOptions
from sled.decoding.row import Input, Row
from sled.decoding.step import Step
from sled.decoding.utterance import Request, Utterance, UtteranceState
from sled.model.cache import CachedRow
from sled.model.interface import FrameModel
from sled.model.layout import Layout

logger = logging.getLogger(__name__)

# A row that waits for text gets a pass of the model only for this many inputs or more.
MIN_READ_AHEAD = 16
# At most this many inputs of a row per pass, so that a long prompt does not delay other utterances.
MAX_READ_AHEAD = 128


class Decoder:
    """Decodes utterances that join and leave.

    Args:
        model: The model, in evaluation mode.
        draw_noise: Returns standard normal noise [B, N] for the next frame of B utterances. None:
            each utterance's own generator draws it, so that its speech does not depend on others.
        text_tracker: Tracks which token each utterance says, and may keep speech in the order of
            its text. None: units stay as drawn.

    Attributes:
        utterances: The utterances that have joined and not ended, in that order.
        read_s: How long it has read inputs after which no frame is drawn, in seconds.
    """

    def __init__(
        self,
        model: FrameModel,
        draw_noise: Callable[[Sequence[Utterance]], Tensor] | None = None,
        text_tracker: Tracker | None = None,
    ) -> None:
        self.model = model
        self.utterances: list[Utterance] = []
        self.read_s = 0.0
        self._draw_noise, self._text_tracker = draw_noise, text_tracker
        self._limits = Limits(model.config, model.ids)
        self._clear()

    def _clear(self) -> None:
        model = self.model
        self.utterances.clear()
        self._rows: list[Row] = []  # by their indices in the cache
        self._cache = model.new_cache()
        if self._text_tracker is not None:
            self._text_tracker.watch(self._cache)
        noise = None if self._draw_noise or model.ids else NoiseAhead(model.noise_width)
        units = torch.zeros(0, *model.unit_shape, device=model.device, dtype=model.unit_dtype)
        # An utterance is in one of two places: in the batch, where it writes in every step, or
        # waiting for text or to read. The latter is a dictionary for its order.
        self._batch = DecodingBatch(self._limits, units, noise, model.ids)
        self._waiting: dict[Utterance, None] = {}
        self._text_due: list[Utterance] = []  # of the batch, with text to read before a step

    # Utterances join and leave.

    @torch.inference_mode()
    def join(
        self,
        request: Request,
        generator: torch.Generator | None = None,
        options: DecodingOptions | None = None,
        layout: Layout | None = None,
    ) -> Utterance:
        """Add a request. The next step writes its first frame, if its text allows.

        Args:
            request: What to speak.
            generator: Draws its noise, or its ids; unused for noise with `draw_noise`.
            options: How to draw and when to stop.
            layout: None: the checkpoint's own.

        Raises:
            ValueError: For an empty text or one that is too long for the model's positions, for
                conditions that the model does not take, or as `DecodingOptions.check`.
        """
        layout, options = layout or self.model.layout, options or DecodingOptions()
        options.check(self.model, layout)
        if generator is None and self.model.ids is not None:
            generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        prompt, model = request.prompt, self.model
        if prompt is not None:
            prompt = prompt.to(model.device, model.unit_dtype)
        utterance = Utterance.begin(
            replace(request, prompt=prompt),
            model.embed_conditions(request.conditions),
            options,
            generator,
            layout,
            model.config.architecture.eos_token_id,
        )
        self._check_text(utterance, 0, request.text_ended)
        self._admit(utterance)
        return utterance

    def feed(self, utterance: Utterance, token_ids: Sequence[int], *, ended: bool = False) -> None:
        """Append text to an utterance that joined before its text was complete.

        Args:
            utterance: The utterance.
            token_ids: More of its text.
            ended: Whether the text is then complete.

        Raises:
            ValueError: If the text becomes too long for the model's positions before the first
                frame, or ends without a token. Then nothing changes. Later, a text that is too
                long is cut instead.
        """
        self.update(utterance)
        if utterance.num_written == 0:
            self._check_text(utterance, len(token_ids), ended)
        utterance.rows[0].add_text(token_ids, ended)
        if utterance in self._batch:
            self._batch.plan(utterance)

    def extend_prompt(self, one: Utterance, token_ids: Sequence[int], units: Tensor) -> None:
        """Append text and units [P, ...] to the prompt of an utterance that has written nothing."""
        one.extend_prompt(token_ids, units.to(self.model.device, self.model.unit_dtype))

    def pause(self, utterance: Utterance) -> None:
        """Skip an utterance until `resume`."""
        utterance.paused = True
        if utterance in self._batch:
            self._set_aside(utterance)

    def resume(self, utterance: Utterance) -> None:
        """Continue a paused utterance."""
        utterance.paused = False

    def rest(self, utterance: Utterance, resting: bool) -> None:
        """Skip an utterance while `resting`; it may be paused at the same time."""
        utterance.resting = resting
        if resting and utterance in self._batch:
            self._set_aside(utterance)

    @torch.inference_mode()
    def leave(self, utterance: Utterance) -> None:
        """Remove an utterance, whether it has ended or not."""
        if utterance in self._batch:
            self._set_aside(utterance)
        del self._waiting[utterance]
        self.utterances.remove(utterance)
        for row in utterance.rows:  # the last row of the cache fills the gap
            last = self._rows.pop()
            if last is not row:
                self._cache.move_row(last.index, row.index)
                self._batch.move_row(last.index, row.index)
                self._rows[row.index], last.index = last, row.index
            self._cache.drop_rows(1)

    @torch.inference_mode()
    def save(self, utterance: Utterance) -> UtteranceState:
        """The state of an utterance, to be continued later, in this decoder or another one.

        Its generator is then in the state after the last frame.
        """
        self.update(utterance)
        if utterance in self._batch:
            self._batch.rewind_noise(utterance)
        return UtteranceState.of(utterance, self._read_rows(utterance))

    @torch.inference_mode()
    def restore(
        self,
        state: UtteranceState,
        options: DecodingOptions | None = None,
        generator: torch.Generator | None = None,
    ) -> Utterance:
        """Continue a saved utterance; arguments and errors as of `UtteranceState.restore`."""
        utterance = state.restore(options, generator)
        self._admit(utterance, state.cached[: len(utterance.rows)])
        return utterance

    def update(self, utterance: Utterance) -> None:
        """Bring `num_written` and the rows of an utterance up to date."""
        if utterance in self._batch:
            self._batch.update(utterance)

    def _check_text(self, utterance: Utterance, num_more: int, ended: bool) -> None:
        num_tokens = len(utterance.rows[0].token_ids) + num_more
        if ended and not num_tokens:
            raise ValueError("empty text: give at least one token")
        positions = self._limits.positions(utterance)
        if utterance.num_positions + num_more >= positions:
            raise ValueError(
                f"the text is too long: {num_tokens} tokens and "
                f"{utterance.prompt_frames} prompt frames leave none of {positions} positions for "
                "speech; shorten the text or the prompt, or split the text into sentences"
            )

    def _admit(self, utterance: Utterance, cached: Sequence[CachedRow] = ()) -> None:
        """Add an utterance; without memory for it, nothing changes."""
        first = len(self._rows)
        self._cache.add_rows(len(utterance.rows))
        try:
            for index, content in enumerate(cached, first):
                self._cache.write_row(index, content)
        except BaseException:
            self._cache.drop_rows(len(utterance.rows))
            raise
        for index, row in enumerate(utterance.rows, first):
            row.index = index
        self._rows += utterance.rows
        self.utterances.append(utterance)
        self._waiting[utterance] = None

    def _read_rows(self, utterance: Utterance) -> tuple[CachedRow, ...]:
        """The keys and values of an utterance that is up to date, also after a failed step."""
        return tuple(
            CachedRow(*(one[:, :, : row.num_read] for one in self._cache.read_row(row.index)))
            for row in utterance.rows
        )

    @torch.inference_mode()
    def _set_aside(self, utterance: Utterance) -> None:
        """Move an utterance out of the batch."""
        self._batch.remove(utterance)
        self._waiting[utterance] = None

    # The loop.

    @torch.inference_mode()
    def step(self) -> Step | None:
        """Write the next frame of every utterance that is ready. Those that end leave.

        Returns:
            The frames; none while prompts are being read. None if every utterance waits.
        """
        self._read_ahead(MIN_READ_AHEAD)
        batch = self._batch
        for one in [one for one in self._waiting if one.is_ready and one.num_unread == 1]:
            batch.add(one)
            del self._waiting[one]
        if not batch.utterances:
            reading = any(one.is_ready for one in self._waiting)
            return Step([], torch.empty(0), [], []) if reading else None
        utterances = list(batch.utterances)
        noise = None if self._draw_noise is None else self._draw_noise(utterances)
        units, stop_probability = self.model.step(batch.inputs(noise), self._cache)
        batch.draw_ahead()
        stopped = batch.stops(stop_probability)
        if self._text_tracker is not None:
            units, stopped = self._text_tracker.follow(utterances, units, stopped, batch.may_stop())
        if self.model.ids is not None:
            ended, filled = take_ids(self.model.ids, utterances, units.tolist())
            number = {utterance: index for index, utterance in enumerate(utterances)}
            for one in filled:
                self._set_aside(one)
                one.end_chunk()
                for row in one.rows[1:]:  # nothing follows in it: its newest input is read again
                    self._cache.shorten_row(row.index, 1)
            utterances = list(batch.utterances)
            kept = [number[one] for one in utterances]
            units, stopped = units[kept], (stopped | ended)[kept]
        batch.advance(units)
        exhausted = np.zeros_like(stopped)
        for slot in np.nonzero(stopped | batch.due())[0].tolist():
            exhausted[slot] = self._look_at(utterances[slot], bool(stopped[slot]))
        return Step(utterances, units, stopped.tolist(), exhausted.tolist())

    def _look_at(self, utterance: Utterance, stopped: bool) -> bool:
        """Decide how an utterance in the batch continues; return whether it is cut."""
        row, ids = utterance.rows[0], self.model.ids
        chunk_follows = not row.has_read_text
        self._batch.update(utterance)
        if ids is not None and ids.fill is not None and chunk_follows and row.is_at_chunk_end:
            utterance.remember(ids.fill)  # models learn it there, and it needs no draw
        exhausted = not stopped and self._limits.frames_before_cut(utterance) <= 0
        if stopped or exhausted:
            self.leave(utterance)
        elif utterance.rows[0].is_ready and utterance.num_unread <= MAX_READ_AHEAD:
            self._batch.plan(utterance)
            if utterance.num_unread > 1:
                self._text_due.append(utterance)
        else:
            self._set_aside(utterance)
        return exhausted

    @torch.inference_mode()
    def recover(self) -> tuple[list[Step], list[Utterance]]:
        """Continue after `step` has raised: find the utterances that cause it and remove them.

        Each utterance is decoded alone for one step, in a new cache. One that fails again, or whose
        state cannot be read any more, is removed. The others continue as if nothing had happened.

        Returns:
            The steps of the utterances that continue, and the utterances that were removed.
        """
        failed: list[Utterance] = []
        steps: list[Step] = []
        left: dict[Utterance, tuple[CachedRow, ...]] = {}

        def put_aside(utterance: Utterance) -> None:
            if utterance in self._batch:
                self._set_aside(utterance)
            left[utterance] = self._read_rows(utterance)

        def attempt(utterance: Utterance, work: Callable[[], None]) -> None:
            try:
                work()
            except Exception:
                logger.exception("an utterance cannot be decoded any more")
                failed.append(utterance)
                left.pop(utterance, None)

        def decode_alone(utterance: Utterance) -> None:
            self._admit(utterance, left.pop(utterance))
            if (step := self.step()) is not None:
                steps.append(step)
            if self.utterances:
                put_aside(utterance)

        for utterance in list(self.utterances):
            attempt(utterance, partial(put_aside, utterance))
        for utterance in list(left):
            self._clear()
            attempt(utterance, partial(decode_alone, utterance))
        self._clear()
        for utterance, cached in left.items():
            self._admit(utterance, cached)
        return steps, failed

    @torch.inference_mode()
    def read_ahead(self) -> None:
        """Read all inputs that are due, except the newest of each row, which a step reads."""
        while self.read_some():
            pass

    @torch.inference_mode()
    def read_some(self) -> bool:
        """One pass of `read_ahead`; returns whether there was anything to read."""
        return self._read_ahead(1)

    def _read_ahead(self, min_inputs: int) -> bool:
        """Read some of the inputs that are due; returns whether there were any.

        Args:
            min_inputs: Rows of utterances that wait are skipped if they have fewer.
        """
        text_due = [one for one in self._text_due if one in self._batch]
        for one in text_due:
            self._batch.update(one)
        rows = [
            row
            for one in (*self._waiting, *text_due)
            for row in one.rows
            if len(row.unread) > 1 and (one.is_ready or len(row.unread) > min_inputs)
        ]
        rows.sort(key=lambda row: row.index)
        if rows:
            self._read(rows, [row.unread[:-1][:MAX_READ_AHEAD] for row in rows])
        for one in text_due:
            self._batch.take_inputs(one)
        self._text_due = []
        return bool(rows)

    def _read(self, rows: list[Row], inputs: list[list[Input]]) -> None:
        """Let the model read inputs after which no frame is drawn."""
        begun_s = time.perf_counter()
        counts = [len(one) for one in inputs]
        embeddings = embed_inputs(self.model, inputs, [row.tokens_before() for row in rows])
        self.model.advance(embeddings, [row.index for row in rows], counts, self._cache)
        for row, count in zip(rows, counts, strict=True):
            del row.unread[:count]
        self.read_s += time.perf_counter() - begun_s
