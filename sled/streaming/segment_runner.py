"""The middle stage of a session: segments of text to units of speech.

    TextStage -> SegmentRunner -> AudioStage

Its methods run on the engine's decoding thread. Each segment is an utterance of the decoder.
Segments after the first continue the speech just before them, as a voice prompt. The codec decodes
all of them as one stream, so the joints cannot be heard.

Shapes: T frames; `...` is the shape of a unit.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from copy import copy

import torch
from torch import Tensor

from sled.decoding import DecodingOptions, Request, Utterance
from sled.streaming.audio_queue import AudioQueue
from sled.streaming.audio_stage import AudioStage, UnitChunk
from sled.streaming.chunks import ChunkRamp
from sled.streaming.engine import Engine
from sled.streaming.history import History
from sled.streaming.options import SessionOptions
from sled.streaming.pace import LEAST_FRAMES
from sled.streaming.place_reader import PlaceReader
from sled.streaming.runner_state import RunnerState, Segment
from sled.streaming.segment_speech import SegmentSpeech
from sled.streaming.start_delay import StartDelay
from sled.streaming.text_stage import TextEvent
from sled.streaming.unit_buffer import UnitBuffer
from sled.streaming.voice import Voice
from sled.text.incremental import IncrementalTokenizer
from sled.text.tokenizer import TextTokenizer

logger = logging.getLogger(__name__)

# A chunk is handed over before it is full if less audio than this would be left to play when it
# were full; but not in smaller parts than `LEAST_FRAMES`.
LEAST_LEFT_S = 0.1


class SegmentRunner:
    """Decodes one segment after the other; the consumer of a session's frames.

    Args:
        engine: Runs the decoder and the codec.
        tokenizer: Tokenizer of the model.
        options: Options of the session, with its voice prepared.
        audio: The next stage.
        queue: The session's audio queue, whose end is the end of the session.
        on_segment_taken: Called when the runner is done with a segment.
        on_frame: Called for each frame.

    Attributes:
        segments: The segment being said or next to be said, and those after it. The last one may
            still grow.
        text_ended: Whether no more text comes.
        num_taken: Segments that are done; read by the text stage.
        segment_number: Number of the segment being said; the first one is 1.
        speech: Text and units of the segment being said.
        num_frames: Frames of all segments so far.
        history: The speech that the next segment continues.
        buffer: Units that have not been handed to the audio stage.
        places: What they say.
        stopped: Whether the model ended every segment so far by itself.

    Raises:
        ValueError: If the voice is of another model or layout, or leaves no positions for speech;
            or as `DecodingOptions.check`.
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: TextTokenizer,
        options: SessionOptions,
        audio: AudioStage,
        queue: AudioQueue,
        on_segment_taken: Callable[[], None],
        on_frame: Callable[[], None] | None = None,
    ) -> None:
        voice, config = options.voice, engine.model.config
        assert voice is None or isinstance(voice, Voice)
        self._layout = options.layout or engine.model.layout
        if voice is not None:
            voice.check(engine.model, self._layout)
        self._engine, self._tokenizer, self._options = engine, tokenizer, options
        self._voice, self._audio, self._queue = voice, audio, queue
        self._decoding = options.decoding or DecodingOptions.of_model(config)
        self._decoding.check(engine.model, self._layout)
        self._on_segment_taken, self._on_frame = on_segment_taken, on_frame
        self._generator = torch.Generator().manual_seed(options.seed)
        self._utterance: Utterance | None = None
        self._text_came_s = 0.0
        needed = self._layout.tokens_per_frame * engine.codec.frame_rate
        self._start_delay = StartDelay(needed, options.max_start_delay_s)
        self.segments = [Segment()]
        self.text_ended = False
        self.num_taken = self.segment_number = self.num_frames = 0
        self.speech = SegmentSpeech(IncrementalTokenizer(tokenizer))
        budget = options.budget(config)
        self.history = History(budget.past_frames, voice, budget.longest_past)
        self.buffer = UnitBuffer(
            options.ramp or ChunkRamp(), audio.lookahead_frames, audio.delayed_frames
        )
        self.places = PlaceReader(tokenizer)
        self.stopped = True
        self._num_handed_over = 0  # frames

    @property
    def tracks_text(self) -> bool:
        """Whether the decoder tracks which token is being said, if the units tell."""
        return self._decoding.track_text

    # Text.

    def receive(self, event: TextEvent) -> None:
        """Take an event from the text stage."""
        if self.text_ended:  # the limit of frames was reached before
            return
        newest = self.segments[-1]
        newest.text += event.text
        newest.ended, self.text_ended = event.ends_segment, event.ends_text
        newest.pause_s = event.pause_s
        self.places.add_text(event)
        self._text_came_s = event.at_s
        if event.ends_segment and not event.ends_text:
            self.segments.append(Segment())
        self._continue()

    def _continue(self) -> None:
        """Give the decoder the text that has arrived."""
        if self._utterance is None:
            while self.segments and not self.segments[0].text.strip():
                pause_s = self.segments[0].pause_s
                if not self.segments[0].ended or (pause_s and self._is_far_ahead()):
                    return
                self._drop_segment()
            if not self.segments:
                self._hand_over(last=True)
                return
            if not self._begin_segment():
                return
        segment = self.segments[0]
        if segment.given:
            return
        assert self._utterance is not None
        token_ids = self.speech.add_text(segment.text, ended=segment.ended)
        segment.text, segment.given = "", segment.ended
        self._start_delay.count(len(token_ids), self._text_came_s)
        self._engine.decoder.feed(self._utterance, token_ids, ended=segment.ended)

    def _is_far_ahead(self) -> bool:
        """Whether a pause, which is made in no time, has to wait until audio has been taken.

        Pauses that the codec still holds do not count: they may wait for the speech that follows.
        """
        limit = self._max_waiting
        if limit is None or self._queue.num_samples <= limit:
            return False
        self._queue.call_below(limit // 2, self._ask_to_resume)
        return True

    @property
    def _max_waiting(self) -> int | None:
        """Samples that may wait to be taken. None: any number."""
        seconds, rate = self._options.max_ahead_s, self._engine.codec.sample_rate
        return None if seconds is None else round(seconds * rate)

    def _begin_segment(self) -> bool:
        """Let the next segment join the decoder; returns whether enough of its text is known."""
        tokens, channel = IncrementalTokenizer(self._tokenizer), self._engine.codec.token_channel
        token_ids = self.history.feed_to(tokens)
        next_token = None
        if channel is not None and self.history.needs_next_token:
            segment, ahead = self.segments[0], copy(tokens)
            following = ahead.feed(segment.text)
            following += ahead.finish() if segment.ended else []
            if not following:
                return False
            next_token = following[0]
        self.speech = SegmentSpeech(tokens)
        self.segment_number += 1
        self.places.begin_segment(self.history.text, self._text_from(0))
        decoder, options = self._engine.decoder, self._decoding.after(self.num_frames)
        past = self.history.units(self._tokenizer, channel, next_token)
        if self._voice is not None:  # the model has read its beginning before
            assert past is not None
            read = self._voice.prefill
            self._utterance = decoder.restore(read, options, self._generator)
            rest = token_ids[read.prompt_tokens :], past[read.prompt_frames :]
            decoder.extend_prompt(self._utterance, *rest)
        else:
            request = Request(
                token_ids,
                past,
                text_ended=False,
                prompt_tokens=0 if past is None else len(token_ids),
            )
            self._utterance = decoder.join(request, self._generator, options, self._layout)
        self._engine.expect_frames(self, self._utterance)
        return True

    def _text_from(self, index: int) -> str:
        """The text of segments that the decoder does not have yet, from one of them on."""
        return "".join(segment.text for segment in self.segments[index:])

    # Frames.

    def lead_s(self, now_s: float) -> float:
        """See `Consumer`."""
        max_lead_s, codec = self._options.max_lead_s, self._engine.codec
        if max_lead_s is None:
            return math.inf
        frames_per_s = codec.frame_rate * self._options.playback_speed
        lead_s = self._sound_s(now_s) + len(self.buffer) / frames_per_s
        return lead_s if lead_s <= max_lead_s else math.inf

    def _sound_s(self, now_s: float) -> float:
        """How long the audio lasts that is ready and has not been played, in seconds."""
        played_per_s = self._engine.codec.sample_rate * self._options.playback_speed
        return self._queue.num_samples / played_per_s + self._audio.listener.unplayed_s(now_s)

    def _is_late(self) -> bool:
        """Whether the listener would wait for a full chunk, as steps got slower since it began."""
        engine, audio = self._engine, self._audio
        listens = self._options.max_lead_s is not None and audio.listener.has_begun
        in_codec = audio.num_frames < self._num_handed_over
        if not listens or in_codec or len(self.buffer) < LEAST_FRAMES:
            return False
        if len(engine.decoder.utterances) < 2:  # steps take as long as they did
            return False
        missing_s = self.buffer.num_missing * engine.pace.real_time_factor / engine.codec.frame_rate
        return self._sound_s(time.perf_counter()) < missing_s + LEAST_LEFT_S

    def on_frame(self, unit: Tensor, stopped: bool, exhausted: bool) -> None:
        """Take the next frame of the utterance; see `Consumer`."""
        utterance = self._utterance
        assert utterance is not None
        if not stopped:
            self.buffer.add(unit)
            position = utterance.text_position
            self.speech.add_unit(unit, None if position is None else position.best)
            self.places.add_frame(utterance)
            self.num_frames += 1
        if stopped or exhausted:
            self._end_segment(utterance, stopped)
        else:
            is_due = self.buffer.is_full or utterance.waits_for_text or self._is_late()
            if is_due and not self._audio.by_segment:
                self._hand_over()
            self._regulate(utterance)
        if self._on_frame is not None:
            self._on_frame()

    def _end_segment(self, utterance: Utterance, stopped: bool) -> None:
        segment = self.segments[0]
        self._utterance = None
        self.stopped &= stopped
        if stopped:
            self.places.end_segment(self._text_from(1))
        self._hand_over(ends=True)
        if self.num_frames == self._decoding.max_frames:  # the limit for all segments
            self.stopped &= not self.segments[1:]
            self.segments, self.text_ended = [], True
        elif stopped:
            if self.speech.units:
                num_tokens = len(utterance.rows[0].token_ids) - 1  # without </s>
                self.history.add(self.speech.spoken(num_tokens))
        else:
            self._take_back_text(utterance, segment)
        if self.segments and segment.given:
            self._drop_segment()
        self._continue()

    def _take_back_text(self, utterance: Utterance, segment: Segment) -> None:
        """Give a segment the text that its utterance, which was cut, has not read.

        Raises:
            ValueError: If it has read none of the text: the next utterance would not, either.
        """
        token_ids = utterance.unread_text(len(self._tokenizer.begin))
        if token_ids is None:
            raise ValueError(
                "speech was cut before any of its text was read: the voice's recording, with its "
                "transcript, leaves too few positions; take a shorter one"
            )
        unread = self._tokenizer.decode(token_ids).strip("\ufffd")  # of a character read in part
        segment.text = unread + self.speech.open_text + segment.text
        if segment.text:
            logger.warning("speech was cut before its text had been read: the rest follows")
            segment.given = False

    def _drop_segment(self) -> None:
        if self.segments[0].pause_s:
            self._hand_over(pause_s=self.segments[0].pause_s)
        del self.segments[0]
        self.num_taken += 1
        self._on_segment_taken()

    # Feedback from the audio stage and the audio queue: how much waits, and how long it is silent.

    def _regulate(self, utterance: Utterance) -> None:
        """Pause if too much audio waits; cut a segment that has fallen silent."""
        options, silence = self._options, self._audio.silence
        if options.max_silence_s is not None and silence.segment == self.segment_number:
            too_long = silence.seconds > options.max_silence_s
            if too_long and utterance.rows[0].has_read_text:
                self._engine.break_off(utterance)
                self._end_segment(utterance, stopped=False)
                return
        limit = self._max_waiting
        if limit is not None and self._queue.num_samples > limit:
            self._engine.decoder.pause(utterance)
            self._queue.call_below(limit // 2, self._ask_to_resume)

    def _ask_to_resume(self) -> None:
        """Called on the thread that takes audio."""
        self._engine.submit(self, self._resume)

    def _resume(self) -> None:
        if self._utterance is not None:
            self._engine.decoder.resume(self._utterance)
        elif self.segments:  # a pause waits
            self._continue()

    # Units for the audio stage.

    def _hand_over(self, *, pause_s: float = 0.0, ends: bool = False, last: bool = False) -> None:
        """Send the buffered units to the audio stage, as the end of a segment or with a pause."""
        if not (len(self.buffer) or pause_s or last or self.places.ends_segment):
            return
        num_waiting = 0 if self._utterance is None else self._utterance.num_tokens_waiting
        units = self.buffer.take(self._engine.pace.real_time_factor)
        if units is None:
            units = torch.empty(0, *self._engine.codec.unit_shape).to(self._engine.codec.unit_dtype)
        self._num_handed_over += len(units)
        delay_s = self._start_delay.seconds(num_waiting)
        said = self.places.take()
        chunk = UnitChunk(units, self.segment_number, last, delay_s, pause_s, said, ends)
        self._engine.decode_audio(self, self._audio, chunk)

    # The end.

    @property
    def closed(self) -> bool:
        """Whether the session has ended; see `Consumer`."""
        return self._queue.closed

    def fail(self, error: BaseException) -> None:
        """End the session with an error; see `Consumer`. Audio that waits can still be taken."""
        self._queue.end(error)

    # Snapshots.

    def save(self) -> RunnerState:
        """The state of the runner."""
        utterance = None
        if self._utterance is not None:  # first, since it sets the generator back
            utterance = self._engine.decoder.save(self._utterance)
        return RunnerState(
            [copy(segment) for segment in self.segments],
            self.text_ended,
            self.num_taken,
            self.segment_number,
            self.speech.copy(),
            self.num_frames,
            self.history.copy(),
            self.buffer.copy(),
            self.places.copy(),
            self.stopped,
            utterance,
            self._generator.get_state(),
        )

    def restore(self, state: RunnerState) -> None:
        """Continue from a saved state; called before the runner receives any text."""
        self.segments = [copy(segment) for segment in state.segments]
        self.text_ended, self.stopped = state.text_ended, state.stopped
        self.num_taken, self.segment_number = state.num_taken, state.segment_number
        self.num_frames, self.speech = state.num_frames, state.speech.copy()
        self.history, self.buffer = state.history.copy(), state.buffer.copy()
        self.places = state.places.copy()
        self._generator.set_state(state.noise_state)
        if state.utterance is not None:
            decoder = self._engine.decoder
            self._utterance = decoder.restore(state.utterance, generator=self._generator)
            self._engine.expect_frames(self, self._utterance)
        elif self.segments and self.segments[0].ended:  # a pause that waited
            self._ask_to_resume()
