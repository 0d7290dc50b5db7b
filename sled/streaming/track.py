"""What a session says, between its growing text and its audio: segment by segment, chunk by chunk.

Text is split into segments that fit the trained positions. Each is an utterance of the decoder;
those after the first continue, as a voice prompt, the speech of the ones just before. The codec
runs on through all of them, so the joints cannot be heard.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from sled.decoding import Request, Utterance, UtteranceState
from sled.streaming.audio import AudioState, AudioStream
from sled.streaming.delivery import PAST_SHARE, Delivery, default_limits
from sled.streaming.engine import Engine
from sled.streaming.sentences import Boundary, SegmentSplitter
from sled.streaming.sink import Chunk, Sink
from sled.streaming.text import GrowingText
from sled.text import TextTokenizer


@dataclass
class _Segment:
    """A part of the text.

    Attributes:
        text: What has come of it and not been given to the decoder.
        ended: Whether no more of it comes.
        given: Whether the decoder has all of it.
    """

    text: str = ""
    ended: bool = False
    given: bool = False


@dataclass(frozen=True, eq=False)
class _Spoken:
    """A segment that has been said: its text, and its frames [T, D]."""

    text: str
    latents: Tensor


@dataclass
class _Position:
    """Where a track stands, the decoder and the codec aside.

    Attributes:
        splitter: Finds where segments begin.
        segments: The one being said, or next to be, and those after it; the last is open until
            the text has ended.
        text_ended: Whether no more text comes.
        tokens: Tokenizes the segment being said.
        said: Its text so far.
        frames: Its frames so far.
        past: The segments before, as far back as the next one continues them.
        pending: Frames that have not been handed to the codec.
        chunk_frames: Number of frames that will be handed over next.
        stopped: Whether the last segment ended by itself.
        has_begun: Whether there has been anything to say.
    """

    splitter: SegmentSplitter
    chunk_frames: int
    segments: list[_Segment] = field(default_factory=lambda: [_Segment()])
    text_ended: bool = False
    tokens: GrowingText | None = None
    said: str = ""
    frames: list[Tensor] = field(default_factory=list)
    past: list[_Spoken] = field(default_factory=list)
    pending: list[Tensor] = field(default_factory=list)
    stopped: bool = False
    has_begun: bool = False

    def copy(self) -> _Position:
        """A position that goes its own way from here on."""
        return replace(
            self,
            splitter=copy(self.splitter),
            segments=[copy(segment) for segment in self.segments],
            tokens=copy(self.tokens),
            frames=list(self.frames),
            past=list(self.past),
            pending=list(self.pending),
        )


@dataclass(frozen=True, eq=False)
class TrackState:
    """A track as a value, to go on from later, any number of times.

    Attributes:
        delivery: How it speaks.
        position: Where it stands.
        utterance: The segment being said; None between two.
        noise_state: State of the generator.
        audio: The codec's side.
        waiting: Chunks that have not been taken.
    """

    delivery: Delivery
    position: _Position
    utterance: UtteranceState | None
    noise_state: Tensor
    audio: AudioState
    waiting: list[Chunk]


class Track:
    """A session's speaker. All methods but those said to be otherwise run in the decoding thread.

    Args:
        engine: Decodes and makes audible.
        tokenizer: Of the model.
        delivery: How to speak.
        generator: Draws the noise.
        on_frame: Called for each frame.
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: TextTokenizer,
        delivery: Delivery,
        generator: torch.Generator,
        on_frame: Callable[[], None] | None = None,
    ) -> None:
        self._engine, self._tokenizer, self._delivery = engine, tokenizer, delivery
        self._generator, self._when_framed = generator, on_frame
        self.done = False
        self.sink = Sink(self._on_taken)
        self._utterance: Utterance | None = None
        self._paused = False
        self._audio = AudioStream(engine.codec, delivery.voice, delivery.trim_tail)
        limits = delivery.limits or default_limits(engine.model.config)

        def count(word: str) -> int:
            return len(tokenizer.encode(word)) - 2

        chunk_frames = delivery.ramp.first(self._audio.lookahead_frames)
        self._position = _Position(SegmentSplitter(limits, count), chunk_frames)
        if delivery.voice is not None:
            self._position.past.append(_Spoken(delivery.voice.text, delivery.voice.latents))

    @property
    def stopped(self) -> bool:
        """Whether the last segment ended by itself; from any thread."""
        return self._position.stopped

    # Text.

    def feed(self, text: str, ended: bool) -> None:
        """More text, and whether it is the end of it."""
        position = self._position
        for event in position.splitter.feed(text):
            if isinstance(event, Boundary):
                position.segments[-1].ended = True
                position.segments.append(_Segment())
            else:
                position.segments[-1].text += event.text
        if ended:
            position.text_ended = position.segments[-1].ended = True
        self._go_on()

    def _go_on(self) -> None:
        """Give the decoder what there is to say."""
        segment = self._position.segments[0]
        if self._utterance is None:
            if not segment.text.strip():
                if self._position.text_ended:
                    self._finish()
                return
            self._begin_segment()
        if segment.given:
            return
        text, segment.text, segment.given = segment.text, "", segment.ended
        assert self._position.tokens is not None and self._utterance is not None
        self._position.said += text
        token_ids = self._position.tokens.feed(text)
        if segment.ended:
            token_ids += self._position.tokens.finish()
        self._engine.decoder.feed(self._utterance, token_ids, ended=segment.ended)

    def _begin_segment(self) -> None:
        position, delivery = self._position, self._delivery
        position.tokens, position.said, position.frames = GrowingText(self._tokenizer), "", []
        position.has_begun = True
        token_ids = position.tokens.feed("".join(f"{one.text} " for one in position.past))
        decoder, voice = self._engine.decoder, delivery.voice
        only_past = position.past[0].latents if len(position.past) == 1 else None
        if voice is not None and only_past is voice.latents:
            # The first segment: the model has read the voice before.
            self._utterance = decoder.restore(voice.prefill, delivery.options, self._generator)
        else:
            prompt = torch.cat([one.latents for one in position.past]) if position.past else None
            prompt_tokens = len(token_ids) if position.past else 0
            request = Request(token_ids, prompt, False, prompt_tokens)
            self._utterance = decoder.join(
                request, self._generator, delivery.options, delivery.layout
            )
        self._utterance.paused = self._paused
        self._engine.speak(self, self._utterance)

    # Frames.

    def on_frame(self, latent: Tensor, stopped: bool, exhausted: bool) -> None:
        position = self._position
        if not stopped:
            position.pending.append(latent)
            position.frames.append(latent)
        if stopped or exhausted:
            self._end_segment(stopped)
        elif len(position.pending) >= position.chunk_frames:
            self._hand_over()
        if self._when_framed is not None:
            self._when_framed()

    def _end_segment(self, stopped: bool) -> None:
        position = self._position
        self._utterance, position.stopped = None, stopped
        self._hand_over()
        self._remember()
        if position.segments[0].given:
            del position.segments[0]
        if position.segments:
            self._go_on()
        else:
            self._finish()

    def _remember(self) -> None:
        """Let the next segment continue this one and, if there is room, those before it."""
        position = self._position
        if not position.frames:
            return
        position.past.append(_Spoken(position.said.strip(), torch.stack(position.frames)))
        budget = self._engine.model.config.max_position_embeddings * PAST_SHARE
        while position.past and sum(len(one.latents) for one in position.past) > budget:
            del position.past[0]

    def _cut_short(self) -> None:
        """End a segment that has fallen silent."""
        if self._utterance is None or not self._is_silent():  # asked for twice
            return
        if self._utterance.rows[0].has_read_text:
            self._engine.withdraw(self._utterance)
            self._audio.restart_silence()
            self._end_segment(stopped=False)

    # Audio: jobs for the codec's thread.

    def _hand_over(self, *, last: bool = False) -> None:
        """Have the pending frames made audible."""
        position = self._position
        if not position.pending and not last:
            return
        width = self._engine.codec.latent_dim
        latents = torch.stack(position.pending) if position.pending else torch.empty(0, width)
        speed = self._engine.real_time_factor
        position.chunk_frames = self._delivery.ramp.after(position.chunk_frames, speed)
        position.pending = []
        self._engine.make_audible(self, lambda: self._make_audible(latents, last))

    def _finish(self) -> None:
        if not self._position.has_begun:
            raise ValueError("the text is blank: give at least one word to say")
        self._hand_over(last=True)

    def _make_audible(self, latents: Tensor, last: bool) -> None:
        """In the codec's thread: frames [T, D] to audio, and `last` of all what is left."""
        audio = self._audio.decode(latents, last=last)
        self.sink.put(Chunk(audio, latents.float().cpu()))
        if last:
            self._end()
        elif self._is_too_far_ahead(self.sink.num_samples):
            self._engine.submit(self, lambda: self._pause(True))
        if self._is_silent():
            self._engine.submit(self, self._cut_short)

    def _is_silent(self) -> bool:
        limit = self._delivery.max_silence_s
        return limit is not None and self._audio.silence_s > limit

    # The end, and pauses: any thread.

    def _end(self) -> None:
        self.done = True
        self.sink.end()
        self._engine.release(self)

    def fail(self, error: BaseException) -> None:
        """Nothing more will come; what waits can still be taken."""
        self.done = True
        self.sink.end(error)

    def cancel(self) -> None:
        """Stop at once, and drop what waits."""
        self.done = True
        self.sink.end(drop=True)
        self._engine.release(self)

    def _is_too_far_ahead(self, num_samples: int) -> bool:
        limit = self._delivery.max_ahead_s
        return limit is not None and num_samples > limit * self._engine.codec.sample_rate

    def _on_taken(self, num_samples_left: int) -> None:
        if self._paused and not self._is_too_far_ahead(2 * num_samples_left):
            self._engine.submit(self, lambda: self._pause(False))

    def _pause(self, paused: bool) -> None:
        """In the decoding thread."""
        # The situation may have changed since this was asked for.
        self._paused = paused and self._is_too_far_ahead(self.sink.num_samples)
        if self._utterance is not None:
            self._utterance.paused = self._paused

    # Snapshots.

    def save(self) -> TrackState:
        """The track as it stands."""
        self._engine.wait_for_codec()
        utterance = self._utterance
        return TrackState(
            self._delivery,
            self._position.copy(),
            None if utterance is None else self._engine.decoder.save(utterance),
            self._generator.get_state(),
            self._audio.save(),
            self.sink.waiting(),
        )

    def restore(self, state: TrackState) -> None:
        """Go on from where another track stood; the first thing that is asked of this one."""
        self._position = state.position.copy()
        self._generator.set_state(state.noise_state)
        self._audio.restore(state.audio)
        for chunk in state.waiting:
            self.sink.put(chunk)
        if state.utterance is not None:
            decoder = self._engine.decoder
            self._utterance = decoder.restore(state.utterance, generator=self._generator)
            self._engine.speak(self, self._utterance)
