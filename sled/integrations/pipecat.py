"""A voice for Pipecat: the tokens of the language model go to `sled serve` as they come."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InterruptionFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessorSetup
from pipecat.services.tts_service import TextAggregationMode, WebsocketTTSService
from pipecat.utils.errors import ErrorCategory
from typing_extensions import override
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from sled.integrations.pipecat_settings import RefusedError, SledTTSSettings, category_of
from sled.integrations.pipecat_turn import Turn
from sled.integrations.wire import (
    FINISH,
    NO_MARKS,
    Done,
    Event,
    Failure,
    Words,
    cancel_message,
    config_message,
    key_headers,
    read_message,
    socket_url,
    text_message,
)

DEFAULT_URL = "http://127.0.0.1:8000"
# The server tells when an utterance has ended, and what was wrong. It ends one when no text has
# come for 30 s: an audio context waits longer, and one without audio does not count as a failure.
DEFAULTS = {"stop_frame_timeout_s": 40.0, "max_consecutive_zero_audio_contexts": 0}
# How long the server may take to answer settings.
ANSWER_TIMEOUT_S = 10.0


class SledTTSService(WebsocketTTSService):
    """Speaks with `sled serve`.

    Tokens are sent as they come, not sentence by sentence. Word times come with the audio, so that
    the context of the language model holds what was said before an interruption and no more.

    Event handlers, beside those of the base class:
        on_heard_text: After an interruption, with the context id and the text that was heard, if
            the model tells when its words are said.

    Args:
        url: Address of the server.
        api_key: A key of the server. None: it needs none.
        sample_rate: Of the audio, in Hz. None: that of the pipeline.
        settings: Voice and other settings.
        **kwargs: For `WebsocketTTSService`.

    Raises:
        ValueError: If the address is none.
    """

    Settings = SledTTSSettings
    _settings: SledTTSSettings

    def __init__(
        self,
        *,
        url: str = DEFAULT_URL,
        api_key: str | None = None,
        sample_rate: int | None = None,
        settings: SledTTSSettings | None = None,
        **kwargs: Any,
    ) -> None:
        self._url, self._api_key = socket_url(url), api_key
        chosen = SledTTSSettings(
            model=None,
            voice=None,
            language=None,
            speed=None,
            seed=None,
            temperature=None,
            cfg=None,
        )
        if settings is not None:
            chosen.apply_update(settings)
        super().__init__(
            text_aggregation_mode=TextAggregationMode.TOKEN,
            push_text_frames=False,  # words are pushed when they are said
            push_start_frame=True,
            push_stop_frames=True,  # for utterances whose end the server does not tell
            sample_rate=sample_rate,
            settings=chosen,
            **{**DEFAULTS, **kwargs},
        )
        # The first turn is the one that the server is saying: it takes one text at a time.
        self._turns: deque[Turn] = deque()
        self._said: list[Turn] = []  # the server is done with them, but not the player
        self._ends_s = 0.0  # when all audio will have been played, by `time.monotonic`
        self._sending = asyncio.Lock()
        self._receive_task: asyncio.Task[None] | None = None
        self._unconnected: str | None = None  # the context for which there was no connection
        self._refused = False  # whether the server has refused the beginning of the reply
        self._config_sent: str | None = None
        self._marks = True
        self._register_event_handler("on_heard_text")

    @override
    def can_generate_metrics(self) -> bool:
        """Whether times are measured: yes."""
        return True

    # The connection.

    @override
    async def setup(self, setup: FrameProcessorSetup) -> None:
        """Connect before the first text comes."""
        await super().setup(setup)
        await self._connect()

    @override
    async def stop(self, frame: EndFrame) -> None:
        """Let what has begun be said to its end, and disconnect."""
        for context_id in self.get_audio_contexts():
            await self.flush_audio(context_id)  # no more text comes
        await super().stop(frame)

    @override
    async def _connect(self) -> None:
        await super()._connect()
        await self._connect_websocket()
        if self._is_open() and not self._is_receiving():
            self._receive_task = self.create_task(self._receive_task_handler(self._report_error))

    @override
    async def _disconnect(self) -> None:
        await super()._disconnect()
        if self._receive_task:
            await self.cancel_task(self._receive_task)
            self._receive_task = None
        await self._disconnect_websocket()

    @override
    async def _connect_websocket(self) -> None:
        if self._is_open():
            return
        self._websocket = None
        try:
            self._websocket = await self._open_socket()
        except Exception as error:
            message = f"no connection to {self._url}: {error or type(error).__name__}"
            category = category_of(error.failure) if isinstance(error, RefusedError) else None
            await self.push_error(error_msg=message, exception=error, category=category)
            await self._call_event_handler("on_connection_error", message)
            return
        await self._call_event_handler("on_connected")

    async def _open_socket(self) -> ClientConnection:
        """A connection whose settings the server has accepted.

        Raises:
            RefusedError: If it does not accept them.
            OSError: If it cannot be reached, or does not answer in time.
            WebSocketException: If it does not take the connection.
        """
        socket: ClientConnection = await self._websocket_connect(
            self._url,
            additional_headers=key_headers(self._api_key),
            compression=None,
            max_size=None,
        )
        try:
            answer = await self._propose(socket)
            if isinstance(answer, Failure) and answer.code == NO_MARKS:
                self._marks = False
                answer = await self._propose(socket)
            if isinstance(answer, Failure):
                raise RefusedError(answer)
        except BaseException:  # an interruption may come meanwhile
            await socket.close()
            raise
        return socket

    async def _propose(self, socket: ClientConnection) -> Event | None:
        """The server's answer to the settings."""
        self._config_sent = self._config()
        await socket.send(self._config_sent)
        return read_message(await asyncio.wait_for(socket.recv(), ANSWER_TIMEOUT_S))

    @override
    async def _disconnect_websocket(self) -> None:
        await self.stop_all_metrics()
        socket, self._websocket = self._websocket, None
        if socket is not None:
            await socket.close()
            await self._call_event_handler("on_disconnected")

    def _is_open(self) -> bool:
        return self._websocket is not None and self._websocket.state is State.OPEN

    def _is_receiving(self) -> bool:
        """Whether messages are received: then a lost connection is also replaced."""
        return self._receive_task is not None and not self._receive_task.done()

    def _config(self) -> str:
        names = ("model", "voice", "speed", "seed", "temperature", "cfg")
        values = {name: getattr(self._settings, name) for name in names}
        return config_message(self.sample_rate, values, self._marks)

    async def _send(self, message: str) -> None:
        """Send a message, if there is a connection: the receiving task sees that one has ended."""
        if (socket := self._websocket) is not None:
            with suppress(ConnectionClosed):
                await socket.send(message)

    # Text.

    @override
    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Send a piece of the text; its audio comes by the receiving task.

        Args:
            text: The piece.
            context_id: The utterance that it belongs to.
        """
        can_connect = not self._is_open() and not self._is_receiving()
        if can_connect and context_id != self._unconnected:
            self._unconnected = context_id  # is not tried again for each token
            await self._connect()
        if self._is_open() and not (self._refused and self._turn_context_id):
            turn = self._find(context_id) or self._add_turn(context_id)
            turn.waiting.append(text)
            turn.spoken.feed(text)
            await self._send_turn()
        yield None

    @override
    async def on_turn_context_created(self, context_id: str) -> None:
        """Note that another reply begins."""
        self._refused = False
        await super().on_turn_context_created(context_id)

    @override
    async def flush_audio(self, context_id: str | None = None) -> None:
        """Tell the server that the text of an utterance is complete."""
        wanted = context_id or self.get_active_audio_context_id()
        turn = self._find(wanted)
        if turn is not None:
            turn.complete = True
            await self._send_turn()
        elif wanted is not None and self.audio_context_available(wanted):
            await self.remove_audio_context(wanted)  # no more audio comes

    @override
    async def on_turn_context_completed(self) -> None:
        """Tell the server that the text is complete, even if the audio context has gone."""
        if self._turn_context_id is not None:
            await self.flush_audio(self._turn_context_id)
        await super().on_turn_context_completed()

    def _find(self, context_id: str | None) -> Turn | None:
        return next((one for one in self._turns if one.context_id == context_id), None)

    def _add_turn(self, context_id: str) -> Turn:
        known = self._tts_contexts.get(context_id)
        turn = Turn(context_id, interruptible=known is None or known.interruptible)
        self._turns.append(turn)
        return turn

    async def _send_turn(self) -> None:
        """Send what can be sent of the text of the first turn."""
        async with self._sending:  # two tasks send, and the order matters
            turn = self._turns[0] if self._turns else None
            if turn is None or turn.cancelled or not self._is_open():
                return
            if turn.waiting and not turn.sent:
                config = self._config()
                if config != self._config_sent:
                    await self._send(config)
                    self._config_sent = config
                turn.sent = True
            while turn.waiting and not turn.cancelled:
                await self._send(text_message(turn.waiting.popleft()))
            if turn.complete and turn.sent and not turn.finished and not turn.cancelled:
                turn.finished = True
                await self._send(FINISH)

    # Interruptions.

    @override
    async def _handle_interruption(
        self, frame: InterruptionFrame, direction: FrameDirection
    ) -> None:
        """Let the server stop, and tell what was heard.

        An audio context may have gone, although its audio is still being made or played.
        """
        said = [one for one in self._said if one.is_being_played()]
        heard = [one for one in said if one.interruptible]
        stopped = [one for one in self._turns if one.interruptible and not one.cancelled]
        self._said = [one for one in said if not one.interruptible]
        for turn in (*heard, *stopped):
            turn.cancel()  # no more of its audio is passed on
        await super()._handle_interruption(frame, direction)
        if all(one.cancelled for one in (*self._said, *self._turns)):
            self._ends_s = 0.0  # the player has dropped all audio
        for turn in heard:
            await self._conclude(turn)
        for turn in stopped:
            await self._stop_turn(turn)
        await self._send_turn()

    async def _stop_turn(self, turn: Turn) -> None:
        """Let the server stop, unless it is done with a turn already."""
        async with self._sending:
            if turn not in self._turns:
                return
            if turn.sent and self._is_open():  # it stays the first until the server has stopped
                await self._send(cancel_message(turn.played_s))
            else:
                self._turns.remove(turn)

    async def _conclude(self, turn: Turn, heard: str | None = None) -> None:
        """Do what has to be done when the server is done with a turn.

        Args:
            turn: The turn.
            heard: What was heard of it, as the server knows. None: it did not say.
        """
        if not turn.cancelled:
            self._said = [one for one in (*self._said, turn) if one.is_being_played()]
            return
        if heard is None:
            heard = turn.spoken.heard(turn.played_s)
        if heard is not None:
            await self._call_event_handler("on_heard_text", turn.context_id, heard)

    # Audio.

    @override
    async def _receive_messages(self) -> None:
        assert self._websocket is not None
        try:
            async for message in self._websocket:
                event = read_message(message)
                if isinstance(event, Failure):
                    await self._on_failure(event)
                elif event is not None and self._turns:
                    await self._on_event(self._turns[0], event)
        finally:  # the server says no more of what it was saying
            turns, self._turns = self._turns, deque()
            for turn in turns:
                await self._conclude(turn)
                await self._end_context(turn)

    async def _on_event(self, turn: Turn, event: Event) -> None:
        if isinstance(event, bytes) and not turn.cancelled:
            turn.add_audio(len(event), self.sample_rate, self._ends_s)
            self._ends_s = turn.ends_s
            frame = TTSAudioRawFrame(event, self.sample_rate, 1, context_id=turn.context_id)
            await self.append_to_audio_context(turn.context_id, frame)
        elif isinstance(event, Words):
            times = [(turn.spoken.take(word).strip(), word.start_s) for word in event.words]
            if not turn.cancelled:
                await self.add_word_timestamps([one for one in times if one[0]], turn.context_id)
        elif isinstance(event, Done):
            self._turns.popleft()
            if event.failed and not turn.finished and not turn.cancelled:
                self._refused = True
                await self._send(FINISH)  # the server still takes its text
            await self._conclude(turn, event.heard_text)
            await self._end_context(turn)
            await self._send_turn()

    async def _end_context(self, turn: Turn) -> None:
        if not turn.cancelled and self.audio_context_available(turn.context_id):
            stopped = TTSStoppedFrame(context_id=turn.context_id)
            await self.append_to_audio_context(turn.context_id, stopped)
            await self.remove_audio_context(turn.context_id)

    async def _on_failure(self, failure: Failure) -> None:
        """Report an error; the end of the utterance follows, if it concerns one."""
        message = f"sled serve: {failure.message} ({failure.code})"
        category = category_of(failure)
        if category.is_permanent:  # it concerns one text, or settings instead of the last ones
            category = ErrorCategory.UNKNOWN
        await self.push_error_frame(ErrorFrame(message, category=category))
