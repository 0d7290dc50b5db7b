"""A voice for Pipecat: the tokens of the language model go to `sled serve` as they come."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from pipecat.frames.frames import ErrorFrame, Frame, TTSAudioRawFrame, TTSStoppedFrame
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TextAggregationMode, WebsocketTTSService
from pipecat.utils.types import NOT_GIVEN, NotGiven
from typing_extensions import override
from websockets.protocol import State

from sled.integrations.wire import (
    FINISH,
    NO_MARKS,
    Done,
    Event,
    Failure,
    SpokenText,
    Words,
    cancel_message,
    config_message,
    key_headers,
    read_message,
    socket_url,
    text_message,
)

DEFAULT_URL = "http://127.0.0.1:8000"
BYTES_PER_SAMPLE = 2


@dataclass
class SledTTSSettings(TTSSettings):
    """Settings that can be changed between two utterances; None is the server's choice.

    Parameters:
        speed: Factor by which speech is faster, 0.25 to 4.
        seed: The same seed says the same text in the same way.
        temperature: Scale of the noise.
        cfg: Guidance scale.
    """

    speed: float | None | NotGiven = field(default_factory=lambda: NOT_GIVEN)
    seed: int | None | NotGiven = field(default_factory=lambda: NOT_GIVEN)
    temperature: float | None | NotGiven = field(default_factory=lambda: NOT_GIVEN)
    cfg: float | None | NotGiven = field(default_factory=lambda: NOT_GIVEN)


@dataclass(eq=False)
class _Turn:
    """One audio context: an utterance of the server.

    Attributes:
        context_id: Its id.
        waiting: Text that has not been sent, as the utterance before it is being said.
        complete: Whether its text is complete.
        sent: Whether any of its text has been sent.
        cancelled: Whether it has been interrupted.
        spoken: Its text.
        first_audio_s: When audio came first, by `time.monotonic`.
        num_bytes: Bytes of audio that came.
    """

    context_id: str
    waiting: list[str] = field(default_factory=list)
    complete: bool = False
    sent: bool = False
    cancelled: bool = False
    spoken: SpokenText = field(default_factory=SpokenText)
    first_audio_s: float | None = None
    num_bytes: int = 0


class SledTTSService(WebsocketTTSService):
    """Speaks with `sled serve`.

    Tokens are sent as they come, not sentence by sentence. Word times come with the audio, so that
    the context of the language model holds what was said before an interruption and no more.

    Event handlers, beside those of the base class:
        on_heard_text: After an interruption, with the context id and the text that was heard.

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
            sample_rate=sample_rate,
            settings=chosen,
            **kwargs,
        )
        # The first turn is the one that the server is saying: it takes one text at a time.
        self._turns: deque[_Turn] = deque()
        self._receive_task: Any = None
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
    async def _connect(self) -> None:
        await super()._connect()
        await self._connect_websocket()
        if self._websocket and not self._receive_task:
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
        try:
            self._websocket = await self._websocket_connect(
                self._url, additional_headers=key_headers(self._api_key), compression=None
            )
            self._config_sent = None
            await self._send_config()
            answer = read_message(await self._websocket.recv())
            if isinstance(answer, Failure) and answer.code == NO_MARKS:
                self._marks = False
                await self._send_config()
                answer = read_message(await self._websocket.recv())
            if isinstance(answer, Failure):
                raise ValueError(answer.message)
            await self._call_event_handler("on_connected")
        except Exception as error:
            if self._websocket is not None:
                await self._websocket.close()
            self._websocket = None
            message = f"no connection to {self._url}: {error}"
            await self.push_error(error_msg=message, exception=error)
            await self._call_event_handler("on_connection_error", message)

    @override
    async def _disconnect_websocket(self) -> None:
        await self.stop_all_metrics()
        socket, self._websocket = self._websocket, None
        self._turns.clear()
        if socket is not None:
            await socket.close()
            await self._call_event_handler("on_disconnected")

    def _is_open(self) -> bool:
        return self._websocket is not None and self._websocket.state is State.OPEN

    async def _send_config(self) -> None:
        """Send the settings, if they have changed."""
        names = ("model", "voice", "speed", "seed", "temperature", "cfg")
        values = {name: getattr(self._settings, name) for name in names}
        config = config_message(self.sample_rate, values, self._marks)
        if config != self._config_sent:
            self._config_sent = config
            await self._websocket.send(config)

    # Text.

    @override
    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Send a piece of the text; its audio comes by the receiving task.

        Args:
            text: The piece.
            context_id: The utterance that it belongs to.
        """
        if not self._is_open():
            await self._connect()
        if self._is_open():
            turn = self._find(context_id)
            if turn is None:
                turn = _Turn(context_id)
                self._turns.append(turn)
            turn.waiting.append(text)
            turn.spoken.feed(text)
            await self._send_turn()
        yield None

    @override
    async def flush_audio(self, context_id: str | None = None) -> None:
        """Tell the server that the text of an utterance is complete."""
        turn = self._find(context_id or self.get_active_audio_context_id())
        if turn is not None and not turn.complete:
            turn.complete = True
            await self._send_turn()

    def _find(self, context_id: str | None) -> _Turn | None:
        return next((one for one in self._turns if one.context_id == context_id), None)

    async def _send_turn(self) -> None:
        """Send what can be sent of the text of the first turn."""
        if not self._turns or not self._is_open():
            return
        turn = self._turns[0]
        if turn.cancelled:
            return
        if not turn.sent and turn.waiting:
            await self._send_config()
            turn.sent = True
        pieces, turn.waiting = turn.waiting, []
        for piece in pieces:
            await self._websocket.send(text_message(piece))
        if turn.complete:
            await self._websocket.send(FINISH)

    @override
    async def on_audio_context_interrupted(self, context_id: str) -> None:
        """Let the server stop, and tell it how much was heard."""
        await self.stop_all_metrics()
        turn = self._find(context_id)
        if turn is not None and turn.sent and self._is_open():
            turn.cancelled = True  # it stays the first until the server has stopped
            await self._websocket.send(cancel_message(self._played_s(turn)))
        elif turn is not None:
            self._turns.remove(turn)
        await super().on_audio_context_interrupted(context_id)

    def _played_s(self, turn: _Turn) -> float:
        """How much of a turn has been played: in real time, and no more than came."""
        if turn.first_audio_s is None:
            return 0.0
        came_s: float = turn.num_bytes / BYTES_PER_SAMPLE / self.sample_rate
        return min(time.monotonic() - turn.first_audio_s, came_s)

    # Audio.

    @override
    async def _receive_messages(self) -> None:
        async for message in self._websocket:
            event = read_message(message)
            if isinstance(event, Failure):
                await self._on_failure(event)
            elif event is not None and self._turns:
                await self._on_event(self._turns[0], event)

    async def _on_event(self, turn: _Turn, event: Event) -> None:
        if isinstance(event, bytes) and not turn.cancelled:
            if turn.first_audio_s is None:
                turn.first_audio_s = time.monotonic()
            turn.num_bytes += len(event)
            frame = TTSAudioRawFrame(event, self.sample_rate, 1, context_id=turn.context_id)
            await self.append_to_audio_context(turn.context_id, frame)
        elif isinstance(event, Words) and not turn.cancelled:
            times = [(turn.spoken.take(word).strip(), word.start_s) for word in event.words]
            await self.add_word_timestamps([one for one in times if one[0]], turn.context_id)
        elif isinstance(event, Done):
            self._turns.popleft()
            if event.failed and not turn.complete:  # the server still takes its text
                await self._websocket.send(FINISH)
            if turn.cancelled:
                if (heard := event.heard_text) is not None:
                    await self._call_event_handler("on_heard_text", turn.context_id, heard)
            elif self.audio_context_available(turn.context_id):
                stopped = TTSStoppedFrame(context_id=turn.context_id)
                await self.append_to_audio_context(turn.context_id, stopped)
                await self.remove_audio_context(turn.context_id)
            await self._send_turn()

    async def _on_failure(self, failure: Failure) -> None:
        """Report an error; the end of the utterance follows, if it concerns one."""
        message = f"sled serve: {failure.message} ({failure.code})"
        await self.push_error_frame(ErrorFrame(message))
