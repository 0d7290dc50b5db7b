"""What a session says, between its growing text and its audio: segment by segment, chunk by chunk.

Text is split into segments that fit the model. Each is an utterance of the decoder;
those after the first continue, as a voice prompt, the speech of the ones just before. The codec
runs on through all of them, so the joints cannot be heard.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sled.decoding import DecodingOptions, Request, Utterance, UtteranceState
from sled.normalization import open_normalizer
from sled.streaming.audio import AudioState, AudioStream
from sled.streaming.audio_queue import Chunk, Sink
from sled.streaming.codec_thread import CodecJob
from sled.streaming.engine import Engine
from sled.streaming.options import Delivery
from sled.streaming.position import Position, Segment, Spoken
from sled.streaming.start_delay import StartDelay
from sled.text.incremental import IncrementalTokenizer
from sled.text.segments import Boundary, SegmentSplitter
from sled.text.tokenizer import TextTokenizer

logger = logging.getLogger(__name__)


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
        heard: Whether the first sound has been made.
        ended: Whether nothing is left to be made.
    """

    delivery: Delivery
    position: Position
    utterance: UtteranceState | None
    noise_state: Tensor
    audio: AudioState
    waiting: list[Chunk]
    heard: bool
    ended: bool


class Track:
    """A session's speaker. All methods but those said to be otherwise run in the decoding thread.

    Args:
        engine: Decodes and makes audible.
        tokenizer: Of the model.
        delivery: How to speak.
        generator: Draws the noise.
        on_frame: Called for each frame.

    Raises:
        ValueError: If the voice is of another model or layout, or leaves no room for speech.
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: TextTokenizer,
        delivery: Delivery,
        generator: torch.Generator,
        on_frame: Callable[[], None] | None = None,
    ) -> None:
        if delivery.voice is not None:
            delivery.voice.check(engine.model, delivery.layout or engine.model.layout)
        self._engine, self._tokenizer, self._delivery = engine, tokenizer, delivery
        self._generator, self._on_frame = generator, on_frame
        self.done = False
        self.sink = Sink(self._on_taken)
        self._utterance: Utterance | None = None
        self._paused = self._heard = False
        layout = delivery.layout or engine.model.layout
        needed = layout.tokens_per_frame * engine.codec.frame_rate
        self._start_delay = StartDelay(needed, delivery.max_start_delay_s)
        self._text_came_s = 0.0
        self._audio = AudioStream(engine.codec, delivery.voice, delivery.trim_tail)
        room = delivery.room(engine.model.config)
        self._past_frames = room.past_frames
        limits = delivery.limits or room.segment_limits()
        splitter = SegmentSplitter(limits, tokenizer.count, tokenizer.max_count)
        chunk_frames = delivery.ramp.first(self._audio.lookahead_frames)
        self._position = Position(splitter, chunk_frames)
        if delivery.voice is not None:
            self._position.past.append(Spoken(f"{delivery.voice.text} ", delivery.voice.latents))

    @property
    def stopped(self) -> bool:
        """Whether all has been said, and every segment ended by itself; from any thread."""
        return self.sink.ended and self._position.stopped

    # Text.

    def feed(self, text: str, ended: bool, at_s: float) -> None:
        """More text, whether it is the end of it, and when it came, by `time.perf_counter`."""
        position = self._position
        self._text_came_s = at_s
        for event in position.splitter.feed(text):
            if isinstance(event, Boundary):
                position.segments[-1].ended = True
                position.segments.append(Segment())
            else:
                position.segments[-1].text += event.text
        if ended:
            position.text_ended = position.segments[-1].ended = True
            self.sink.release()
        self._go_on()

    def _go_on(self) -> None:
        """Give the decoder what there is to say."""
        position = self._position
        if self._utterance is None:
            while position.segments and position.segments[0].blank:
                if not position.segments[0].ended:
                    return
                del position.segments[0]
            if not position.segments:
                self._finish()
                return
            self._begin_segment()
        segment = position.segments[0]
        if segment.given:
            return
        assert position.normalizer is not None and position.tokens is not None
        assert self._utterance is not None
        text = segment.unread + position.normalizer.feed(segment.text)
        segment.text, segment.unread, segment.given = "", "", segment.ended
        if segment.ended:
            text += position.normalizer.finish()
        position.said += text
        token_ids = position.tokens.feed(text)
        if segment.ended:
            token_ids += position.tokens.finish()
        self._start_delay.count(len(token_ids), self._text_came_s)
        self._engine.decoder.feed(self._utterance, token_ids, ended=segment.ended)

    def _begin_segment(self) -> None:
        position, delivery = self._position, self._delivery
        position.normalizer = open_normalizer(self._tokenizer.normalization)
        position.tokens, position.said, position.frames = (
            IncrementalTokenizer(self._tokenizer),
            "",
            [],
        )
        position.number += 1
        token_ids = position.tokens.feed("".join(one.text for one in position.past))
        decoder, voice, options = self._engine.decoder, delivery.voice, self._options()
        if voice is not None and len(position.past) == 1:  # nothing else: it has been read before
            self._utterance = decoder.restore(voice.prefill, options, self._generator)
        else:
            prompt = torch.cat([one.latents for one in position.past]) if position.past else None
            prompt_tokens = len(token_ids) if position.past else 0
            request = Request(token_ids, prompt, False, prompt_tokens)
            self._utterance = decoder.join(request, self._generator, options, delivery.layout)
        if self._paused:
            decoder.pause(self._utterance)
        self._engine.speak(self, self._utterance)

    def _options(self) -> DecodingOptions:
        """Those of the next segment: `max_frames` holds for all segments together."""
        options = self._delivery.options
        if options.max_frames is None:
            return options
        left = options.max_frames - self._position.num_frames
        return replace(options, max_frames=left, min_frames=min(options.min_frames, left))

    # Frames.

    def on_frame(self, latent: Tensor, stopped: bool, exhausted: bool) -> None:
        position, utterance = self._position, self._utterance
        assert utterance is not None
        if not stopped:
            position.pending.append(latent)
            position.frames.append(latent)
            position.num_frames += 1
        if stopped or exhausted:
            self._end_segment(utterance, stopped)
        elif len(position.pending) >= position.chunk_frames or utterance.waits_for_text:
            self._hand_over()
        if self._on_frame is not None:
            self._on_frame()

    def _end_segment(self, utterance: Utterance, stopped: bool) -> None:
        position, segment = self._position, self._position.segments[0]
        self._utterance = None
        position.stopped &= stopped
        self._hand_over()
        if position.num_frames == self._delivery.options.max_frames:  # as was wished for
            position.stopped &= not position.segments[1:]
            position.segments, position.text_ended = [], True
        elif stopped:
            self._remember()
        else:
            self._take_back(utterance, segment)
        if position.segments and segment.given:
            del position.segments[0]
        self._go_on()

    def _take_back(self, utterance: Utterance, segment: Segment) -> None:
        """Give back to a segment the text that its utterance has not read.

        What was normalised must not be so again: phonemes are no English.
        """
        position = self._position
        assert position.tokens is not None and position.normalizer is not None
        unread = self._tokenizer.decode(utterance.rows[0].take_unread_text())
        unread = unread.strip("\ufffd")  # a character that has been read in part
        segment.unread = unread + position.tokens.open_text
        if segment.unread or position.normalizer.open_text:
            logger.warning("speech was cut before its text had been read: the rest follows")
            segment.text, segment.given = position.normalizer.open_text + segment.text, False

    def _remember(self) -> None:
        """Let the next segment continue this one and, if there is room, those before it.

        The voice always stays; without one, a segment does that is too long for it, or the next
        one would be in another voice. What was cut is no example: it is forgotten.
        """
        position = self._position
        if not position.frames:
            return
        newest = Spoken(position.said, torch.stack(position.frames))
        past = [*position.past, newest]
        first = 0 if self._delivery.voice is None else 1
        while sum(len(one.latents) for one in past) > self._past_frames and past[first:]:
            del past[first]
        position.past = past or position.past or [newest]

    def _cut_short(self, number: int) -> None:
        """End a segment that has fallen silent, if it is still being said."""
        utterance = self._utterance
        if utterance is None or number != self._position.number:
            return
        if utterance.rows[0].has_read_text:
            self._engine.withdraw(utterance)
            self._end_segment(utterance, stopped=False)

    # Audio: jobs for the codec's thread.

    def _hand_over(self, *, last: bool = False) -> None:
        """Have the pending frames made audible."""
        position, engine = self._position, self._engine
        if not position.pending and not last:
            return
        count, shape = len(position.pending), engine.codec.unit_shape
        latents = torch.stack(position.pending) if count else torch.empty(0, *shape)
        if count:
            position.chunk_frames = self._delivery.ramp.after(count, engine.real_time_factor)
        position.pending = []
        number = position.number
        num_waiting = 0 if self._utterance is None else self._utterance.num_tokens_waiting
        delay_s = self._start_delay.seconds(num_waiting)
        job = CodecJob(
            self._audio,
            latents.float(),
            last,
            is_wanted=lambda: not self.done,
            deliver=lambda decoded: self._deliver(decoded, latents, number, last, delay_s),
            fail=lambda error: engine.give_up(self, error),
        )
        engine.make_audible(job)

    def _finish(self) -> None:
        if not self._position.number:
            raise ValueError("the text is blank: give at least one word to say")
        self._hand_over(last=True)

    def _deliver(
        self, decoded: Tensor, latents: Tensor, number: int, last: bool, delay_s: float
    ) -> None:
        """In the codec's thread: samples [S] that frames [T, D] of a segment have become.

        Args:
            delay_s: How long to keep them, if they are the first.
        """
        audio = self._audio.accept(decoded, number, last=last)
        if not self._heard and len(audio):
            self._heard = True
            self.sink.hold(delay_s)
        self.sink.put(Chunk(audio, latents.float().cpu().clone()))
        limit = self._delivery.max_silence_s
        if last:
            self._end()
        elif self._is_too_far_ahead(self.sink.num_samples):
            self._engine.submit(self, self._regulate)
        if limit is not None and self._audio.silence_s > limit:
            self._engine.submit(self, lambda: self._cut_short(number))

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
            self._engine.submit(self, self._regulate)

    def _regulate(self) -> None:
        """In the decoding thread: pause if too much waits to be taken, else go on."""
        self._paused = True  # before looking: who takes something from now on asks again
        self._paused = self._is_too_far_ahead(self.sink.num_samples)
        if self._utterance is not None:
            decoder = self._engine.decoder
            (decoder.pause if self._paused else decoder.resume)(self._utterance)

    # Snapshots.

    def save(self) -> TrackState:
        """The track as it stands; once it is done, from any thread."""
        if not self.done:
            self._engine.wait_for_codec()
        said = None
        if self._utterance is not None:  # first: the generator may be ahead of the utterance
            said = self._engine.decoder.save(self._utterance)
        return TrackState(
            self._delivery,
            self._position.copy(),
            said,
            self._generator.get_state(),
            self._audio.save(),
            self.sink.waiting(),
            self._heard,
            self.sink.ended,
        )

    def restore(self, state: TrackState) -> None:
        """Go on from where another track stood; the first thing that is asked of this one."""
        self._position = state.position.copy()
        self._generator.set_state(state.noise_state)
        self._audio.restore(state.audio)
        self._heard = state.heard
        if self._position.text_ended:
            self.sink.release()
        for chunk in state.waiting:
            self.sink.put(chunk)
        if state.utterance is not None:
            decoder = self._engine.decoder
            self._utterance = decoder.restore(state.utterance, generator=self._generator)
            self._engine.speak(self, self._utterance)
        if state.ended:
            self._end()
