"""The one decoding loop: whatever is spoken in this project, is spoken here.

Utterances join and leave a batch at any time, and each advances as its own text allows. Under
classifier-free guidance an utterance has two rows: its text with its speech, and the single token
`</s>` with the same speech; all rows go through the model as one batch. Each step every row reads
one input, the newest, and every utterance that is ready writes one frame; whatever else is due (a
prompt, a chunk of text) is read just before. Rows never influence one another, so an utterance
gets in a batch what it gets alone.

Shapes: U utterances in a step, R rows in a step, Q new inputs of a row, D latent width, N noise
width, H hidden width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sled.cache import CachedRow
from sled.decoding.interface import FrameModel
from sled.decoding.options import DecodingOptions
from sled.decoding.utterance import Request, Row, Utterance, UtteranceState
from sled.layout import Layout

# A row that waits for text is not worth a pass of the model for less than so many inputs.
MIN_READ_AHEAD = 16
# No more are read in one pass: a long prompt shall not keep the others waiting.
MAX_READ_AHEAD = 128


@dataclass(frozen=True, eq=False)
class Step:
    """What one step of the loop wrote.

    Attributes:
        utterances: The U utterances that wrote.
        latents: [U, D] the frame that each wrote.
        stopped: U flags: it stopped *at* this frame, which is not speech.
        exhausted: U flags: it was cut *after* this frame, which is its last.
    """

    utterances: list[Utterance]
    latents: Tensor
    stopped: list[bool]
    exhausted: list[bool]


@dataclass(frozen=True, eq=False)
class _Batch:
    """The utterances of a step, and what of them is the same in every step.

    Attributes:
        utterances: U of them.
        rows: Their R rows, in the order of the cache.
        with_text, text_free: [U] where each one's states lie among the R. Without guidance an
            utterance is its own companion.
        cfg, temperature: [U, 1].
    """

    utterances: list[Utterance]
    rows: list[Row]
    with_text: Tensor
    text_free: Tensor
    cfg: Tensor
    temperature: Tensor

    @classmethod
    def of(cls, utterances: list[Utterance], device: torch.device, dtype: torch.dtype) -> _Batch:
        rows = sorted((row for one in utterances for row in one.rows), key=lambda row: row.index)
        place = {row.index: place for place, row in enumerate(rows)}

        def column(values: list[float]) -> Tensor:
            return torch.tensor(values, device=device, dtype=dtype)[:, None]

        return cls(
            utterances,
            rows,
            torch.tensor([place[one.rows[0].index] for one in utterances], device=device),
            torch.tensor([place[one.rows[-1].index] for one in utterances], device=device),
            column([one.options.cfg for one in utterances]),
            column([one.options.temperature for one in utterances]),
        )


class Decoder:
    """Decodes utterances that come and go.

    Args:
        model: In evaluation mode.
        draw_noise: Standard normal noise [U, N] for the next frame of each utterance. None: drawn
            by each utterance's own generator, which makes its speech independent of its company.

    Attributes:
        utterances: Those that have joined and not ended, in that order.
    """

    def __init__(
        self,
        model: FrameModel,
        draw_noise: Callable[[Sequence[Utterance]], Tensor] | None = None,
    ) -> None:
        self.model = model
        self.utterances: list[Utterance] = []
        self._draw_noise = draw_noise or self._own_noise
        self._rows: list[Row] = []  # as in the cache
        self._cache = model.new_cache()
        self._batch: _Batch | None = None

    # Utterances come and go.

    @torch.inference_mode()
    def join(
        self,
        request: Request,
        generator: torch.Generator | None = None,
        options: DecodingOptions | None = None,
        layout: Layout | None = None,
    ) -> Utterance:
        """Take up a request; its first frame is written by the next step, if its text allows.

        Args:
            request: What to speak.
            generator: Draws its noise; not needed with `draw_noise`.
            options: How to draw and when to stop.
            layout: None: the checkpoint's own.

        Raises:
            ValueError: For an empty text, or one that is too long for the model's positions.
        """
        options = options or DecodingOptions()
        if request.text_ended and not len(request.token_ids):
            raise ValueError("empty text: give at least one token")
        prompt = None if request.prompt is None else self._as_input(request.prompt)
        utterance = Utterance.begin(
            replace(request, prompt=prompt),
            options,
            generator,
            layout or self.model.layout,
            self.model.config.eos_token_id,
        )
        self._check_room(utterance)
        self._admit(utterance)
        return utterance

    def feed(self, utterance: Utterance, token_ids: Sequence[int], *, ended: bool = False) -> None:
        """Append text to an utterance that joined without its end.

        Args:
            utterance: To which.
            token_ids: More of its text.
            ended: Whether that is the end of it.

        Raises:
            ValueError: If the text becomes too long for the model's positions before any of it
                has been said. Later, the utterance is cut.
        """
        utterance.rows[0].add_text(token_ids, ended)
        if utterance.num_written == 0:
            self._check_room(utterance)

    @torch.inference_mode()
    def leave(self, utterance: Utterance) -> None:
        """Forget an utterance, whether it has ended or not."""
        self.utterances.remove(utterance)
        self._batch = None
        for row in utterance.rows:  # the last row of the cache fills the gap
            last = self._rows.pop()
            if last is not row:
                self._cache.move_row(last.index, row.index)
                self._rows[row.index], last.index = last, row.index
            self._cache.drop_rows(1)

    @torch.inference_mode()
    def save(self, utterance: Utterance) -> UtteranceState:
        """The utterance as it stands, to go on from later, here or in another decoder."""
        generator = utterance.generator
        return UtteranceState(
            tuple(row.copy() for row in utterance.rows),
            tuple(self._cache.read_row(row.index) for row in utterance.rows),
            utterance.prompt_frames,
            utterance.prompt_tokens,
            utterance.num_written,
            utterance.options,
            None if generator is None else generator.get_state(),
        )

    @torch.inference_mode()
    def restore(
        self,
        state: UtteranceState,
        options: DecodingOptions | None = None,
        generator: torch.Generator | None = None,
    ) -> Utterance:
        """Take up a saved utterance where it stood; see `UtteranceState.revive`."""
        utterance = state.revive(options, generator)
        self._admit(utterance, state.cached[: len(utterance.rows)])
        return utterance

    def _max_positions(self, options: DecodingOptions) -> int:
        return options.positions(self.model.config.max_position_embeddings)

    def _check_room(self, utterance: Utterance) -> None:
        positions = self._max_positions(utterance.options)
        if utterance.num_positions >= positions:
            raise ValueError(
                f"the text is too long: {len(utterance.rows[0].token_ids)} tokens and "
                f"{utterance.prompt_frames} prompt frames leave none of {positions} positions for "
                "speech; shorten the text or the prompt, or split the text into sentences"
            )

    def _admit(self, utterance: Utterance, cached: Sequence[CachedRow] = ()) -> None:
        """Take an utterance in; if there is no memory for it, nothing has changed."""
        first = len(self._rows)
        self._cache.add_rows(len(utterance.rows))
        try:
            for place, held in enumerate(cached, first):
                self._cache.write_row(place, held)
        except BaseException:
            self._cache.drop_rows(len(utterance.rows))
            raise
        for place, row in enumerate(utterance.rows, first):
            row.index = place
        self._rows += utterance.rows
        self.utterances.append(utterance)

    # The loop.

    @torch.inference_mode()
    def step(self) -> Step | None:
        """Write the next frame of every utterance that is ready; those that end with it leave.

        Returns:
            What was written; nothing while prompts are being read. None if every utterance waits
            for text.
        """
        self._read_ahead(MIN_READ_AHEAD)
        ready = [one for one in self.utterances if one.is_ready and one.num_unread == 1]
        if not ready:
            reading = any(one.is_ready for one in self.utterances)
            return Step([], torch.empty(0), [], []) if reading else None
        if self._batch is None or self._batch.utterances != ready:
            self._batch = _Batch.of(ready, self.model.device, self.model.dtype)
        batch = self._batch

        hidden = self._read(batch.rows, [row.take_unread() for row in batch.rows])  # [R, H]
        with_text, text_free = hidden[batch.with_text], hidden[batch.text_free]
        noise = batch.temperature * self._as_input(self._draw_noise(ready))
        guided = text_free + batch.cfg * (with_text - text_free)
        latents = self.model.draw(guided, noise)  # [U, D]
        stop_probability = self.model.stop_probability(with_text).tolist()

        stopped, exhausted = [], []
        for one, frame, probability in zip(ready, latents, stop_probability, strict=True):
            stopped.append(self._stops(one, probability))
            one.write(frame.clone())  # a view would keep the whole step's
            exhausted.append(not stopped[-1] and self._is_exhausted(one))
        for one, *ends in zip(ready, stopped, exhausted, strict=True):
            if any(ends):
                self.leave(one)
        return Step(ready, latents, stopped, exhausted)

    @torch.inference_mode()
    def read_ahead(self) -> None:
        """Read all inputs that are due, except each row's newest, which a step reads."""
        while self._read_ahead(1):
            pass

    def _read_ahead(self, min_inputs: int) -> bool:
        """Read some of the inputs that are due; returns whether there were any.

        Args:
            min_inputs: Rows that cannot go on to write yet are passed over if they have fewer.
        """
        rows = [
            row
            for one in self.utterances
            for row in one.rows
            if len(row.unread) > 1 and (one.is_ready or len(row.unread) > min_inputs)
        ]
        rows.sort(key=lambda row: row.index)
        if rows:
            self._read(rows, [row.take_unread(MAX_READ_AHEAD) for row in rows])
        return bool(rows)

    def _read(self, rows: list[Row], inputs: list[list[int | Tensor]]) -> Tensor:
        """Let the model read inputs; returns each row's last state [R, H]."""
        counts = [len(one) for one in inputs]
        embeddings = self._embed(inputs, max(counts))
        return self.model.advance(embeddings, [row.index for row in rows], counts, self._cache)

    def _embed(self, inputs: list[list[int | Tensor]], longest: int) -> Tensor:
        """Input embeddings [R, Q, H] of tokens and frames, right-padded with zeros."""
        tokens, frames = [], []
        token_places, frame_places = [], []
        for row, sequence in enumerate(inputs):
            for place, item in enumerate(sequence, row * longest):
                if isinstance(item, int):
                    tokens.append(item)
                    token_places.append(place)
                else:
                    frames.append(item)
                    frame_places.append(place)
        if not tokens and longest == 1:  # nearly every step
            return self.model.embed_latents(torch.stack(frames))[:, None]
        width = self.model.config.hidden_size
        embeddings = torch.zeros(len(inputs) * longest, width, device=self.model.device)
        embeddings = embeddings.to(self.model.dtype)
        if tokens:
            ids = torch.tensor(tokens, device=self.model.device)
            embeddings[token_places] = self.model.embed_text(ids)
        if frames:
            embeddings[frame_places] = self.model.embed_latents(torch.stack(frames))
        return embeddings.unflatten(0, (len(inputs), longest))

    def _as_input(self, x: Tensor) -> Tensor:
        return x.to(self.model.device, self.model.dtype)

    def _own_noise(self, utterances: Sequence[Utterance]) -> Tensor:
        width = self.model.config.noise_channels
        generators = [one.generator for one in utterances]
        # Drawn where the generator is, so that a seed means the same on every device.
        return torch.stack(
            [
                torch.randn(width, generator=g, device=None if g is None else g.device)
                for g in generators
            ]
        )

    # When an utterance ends.

    def _stops(self, utterance: Utterance, probability: float) -> bool:
        options, heard_all = utterance.options, utterance.rows[0].has_read_text
        if not (heard_all or options.stop_before_text_end):
            return False
        least = max(options.min_frames, self._usual_frames(utterance)[0])
        return utterance.num_written >= least and probability >= utterance.stop_threshold

    def _is_exhausted(self, utterance: Utterance) -> bool:
        options = utterance.options
        if utterance.num_positions >= self._max_positions(options):
            return True
        if utterance.num_written == options.max_frames:
            return True
        too_long = utterance.num_written >= self._usual_frames(utterance)[1]
        return too_long and utterance.rows[0].has_read_text

    def _usual_frames(self, utterance: Utterance) -> tuple[float, float]:
        """Fewest and most frames that its text takes, by the lengths of the training data."""
        config, tolerance = self.model.config, utterance.options.length_tolerance
        low, high = config.min_frames_per_token, config.max_frames_per_token
        if tolerance is None or low is None or high is None:
            return 0.0, math.inf
        return (
            utterance.num_tokens * low / tolerance,
            utterance.num_tokens * high * tolerance,
        )
