"""The one decoding loop: whatever is spoken in this project, is spoken here.

Utterances join and leave a batch at any time, and each advances as its own text allows. Under
classifier-free guidance an utterance has two rows: its text with its speech, and the single token
`</s>` with the same speech; all rows go through the model as one batch. Each step every row reads
one input, the newest, and every utterance that is ready writes one frame; whatever else is due (a
prompt, a chunk of text) is read just before. Rows never influence one another, so an utterance
gets in a batch what it gets alone.

Shapes: U utterances in a step, R rows, Q new inputs of a row, D latent width, N noise width, H
hidden width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sled.decoding.batch import Lane
from sled.decoding.eager_step import PartByPart
from sled.decoding.interface import FrameModel
from sled.decoding.limits import Limits
from sled.decoding.noise import NoiseAhead
from sled.decoding.options import DecodingOptions
from sled.decoding.text_tracker import PlaceKeeper
from sled.decoding.utterance import Request, Row, Utterance, UtteranceState
from sled.model.cache import CachedRow
from sled.model.layout import Layout

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


class Decoder:
    """Decodes utterances that come and go.

    Args:
        model: In evaluation mode.
        draw_noise: Standard normal noise [U, N] for the next frame of each utterance. None: drawn
            by each utterance's own generator, which makes its speech independent of its company.
        place_keeper: Holds speech to the order of its text. None: frames stay as they are drawn.

    Attributes:
        utterances: Those that have joined and not ended, in that order.
    """

    def __init__(
        self,
        model: FrameModel,
        draw_noise: Callable[[Sequence[Utterance]], Tensor] | None = None,
        place_keeper: PlaceKeeper | None = None,
    ) -> None:
        self.model = model
        self.utterances: list[Utterance] = []
        self._draw_noise, self._place_keeper = draw_noise, place_keeper
        self._rows: list[Row] = []  # as in the cache
        self._cache = model.new_cache()
        self._write_frames = model.new_step(self._cache) or PartByPart(model, self._cache)
        config = model.config
        self._limits = Limits(config)
        noise = None if draw_noise else NoiseAhead(config.architecture.noise_channels)
        # Who writes in every step; whose chunk of text is to be read before the next one; and who
        # waits, or has more to read. The latter are a dictionary for its order.
        self._lane = Lane(
            self._limits, config.architecture.vae_embed_dim, noise, model.device, model.dtype
        )
        self._late: list[Utterance] = []
        self._others: dict[Utterance, None] = {}

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
            self.model.config.architecture.eos_token_id,
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
        if utterance.writer is not None:
            self._lane.look_ahead(utterance)

    @torch.inference_mode()
    def leave(self, utterance: Utterance) -> None:
        """Forget an utterance, whether it has ended or not."""
        if utterance.writer is not None:
            self.remove(utterance)
        del self._others[utterance]
        self.utterances.remove(utterance)
        for row in utterance.rows:  # the last row of the cache fills the gap
            last = self._rows.pop()
            if last is not row:
                self._cache.move_row(last.index, row.index)
                self._lane.move_row(last.index, row.index)
                self._rows[row.index], last.index = last, row.index
            self._cache.drop_rows(1)

    @torch.inference_mode()
    def save(self, utterance: Utterance) -> UtteranceState:
        """The utterance as it stands, to go on from later, here or in another decoder.

        Its generator then stands behind the last frame.
        """
        generator = utterance.generator
        if utterance.writer is not None:
            self._lane.put_noise_back(utterance)
        return UtteranceState(
            tuple(row.copy() for row in utterance.rows),
            tuple(self._cache.read_row(row.index) for row in utterance.rows),
            utterance.prompt_frames,
            utterance.prompt_tokens,
            utterance.num_written,
            utterance.options,
            None if generator is None else generator.get_state(),
            utterance.place,
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

    def _check_room(self, utterance: Utterance) -> None:
        positions = self._limits.positions(utterance)
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
        self._others[utterance] = None

    # For utterances: `sled.decoding.utterance.Writer`.

    def settle(self, utterance: Utterance) -> None:
        """Bring the rows of an utterance that is being written up to date."""
        self._lane.settle(utterance)

    @torch.inference_mode()
    def remove(self, utterance: Utterance) -> None:
        """Let an utterance that is being written wait."""
        self._lane.remove(utterance)
        utterance.writer = None
        self._others[utterance] = None

    # The loop.

    @torch.inference_mode()
    def step(self) -> Step | None:
        """Write the next frame of every utterance that is ready; those that end with it leave.

        Returns:
            What was written; nothing while prompts are being read. None if every utterance waits
            for text.
        """
        self._read_ahead(MIN_READ_AHEAD)
        lane = self._lane
        for one in [one for one in self._others if one.is_ready and one.num_unread == 1]:
            lane.add(one)
            one.writer = self
            del self._others[one]
        if not lane.utterances:
            reading = any(one.is_ready for one in self._others)
            return Step([], torch.empty(0), [], []) if reading else None
        utterances = list(lane.utterances)
        noise = None if self._draw_noise is None else self._draw_noise(utterances)
        latents, stop_probability = self._write_frames(lane.inputs(noise))
        lane.draw_ahead()
        stopped = lane.stops(stop_probability)
        if self._place_keeper is not None:
            latents, stopped = self._place_keeper.keep(
                utterances, latents, stopped, lane.may_stop()
            )
        lane.advance(latents)
        exhausted = np.zeros_like(stopped)
        for place in np.nonzero(stopped | lane.due())[0].tolist():
            exhausted[place] = self._look_at(utterances[place], bool(stopped[place]))
        return Step(utterances, latents, stopped.tolist(), exhausted.tolist())

    def _look_at(self, utterance: Utterance, stopped: bool) -> bool:
        """See what becomes of an utterance that has written; returns whether it is cut."""
        exhausted = not stopped and self._limits.frames_before_cut(utterance) <= 0
        if stopped or exhausted:
            self.leave(utterance)
        elif utterance.rows[0].is_ready and utterance.num_unread <= MAX_READ_AHEAD:
            self._lane.look_ahead(utterance)
            if utterance.num_unread > 1:
                self._late.append(utterance)
        else:
            self.remove(utterance)
        return exhausted

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
        late = [one for one in self._late if one.writer is not None]
        rows = [
            row
            for one in (*self._others, *late)
            for row in one.rows
            if len(row.unread) > 1 and (one.is_ready or len(row.unread) > min_inputs)
        ]
        rows.sort(key=lambda row: row.index)
        if rows:
            self._read(rows, [row.take_unread(MAX_READ_AHEAD) for row in rows])
        for one in late:
            self._lane.take_inputs(one)
        self._late = []
        return bool(rows)

    def _read(self, rows: list[Row], inputs: list[list[int | Tensor]]) -> None:
        """Let the model read inputs that frames are not drawn after."""
        counts = [len(one) for one in inputs]
        embeddings = self._embed(inputs, max(counts))
        self.model.advance(embeddings, [row.index for row in rows], counts, self._cache)

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
        width = self.model.config.architecture.hidden_size
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
