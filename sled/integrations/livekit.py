"""A voice for LiveKit Agents: the tokens of the language model go to `sled serve` as they come."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import aiohttp
from livekit.agents import (
    APIConnectionError,
    APIConnectOptions,
    APIError,
    APIStatusError,
    APITimeoutError,
    tts,
    utils,
)
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, TimedString
from typing_extensions import override

from sled.integrations.wire import (
    FINISH,
    NO_MARKS,
    Created,
    Done,
    Event,
    Failure,
    SpokenText,
    Words,
    config_message,
    key_headers,
    read_message,
    socket_url,
    text_message,
)

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_RATE = 24000
# Statuses that stand for a server without room, and for one that failed.
BUSY_STATUS, FAILED_STATUS = 429, 500
# A connection is replaced before the server closes an idle one.
MAX_CONNECTION_S = 240.0


class Connection:
    """A connection to the server, and the settings that it has accepted.

    Args:
        socket: The WebSocket.

    Attributes:
        config: The last settings that were accepted.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self.config: str | None = None

    async def send(self, message: str) -> None:
        """Send a message.

        Raises:
            aiohttp.ClientError: If the connection has ended.
        """
        await self._socket.send_str(message)

    async def receive(self, timeout: float | None = None) -> Event | None:
        """What the server says next; None if it does not matter here.

        Args:
            timeout: How long to wait, in seconds. None: for ever.

        Raises:
            APIConnectionError: If the connection has ended.
            asyncio.TimeoutError: If nothing came.
        """
        message = await self._socket.receive(timeout)
        if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            return read_message(message.data)
        raise APIConnectionError("the server closed the connection")

    async def propose(self, config: str, timeout: float) -> Failure | None:
        """Send settings, unless the connection has them; returns what is wrong with them.

        Args:
            config: The message.
            timeout: How long to wait for the answer, in seconds.

        Raises:
            APIConnectionError: If the connection has ended.
            asyncio.TimeoutError: If no answer came.
        """
        if config == self.config:
            return None
        await self.send(config)
        while not isinstance(answer := await self.receive(timeout), Created):
            if isinstance(answer, Failure):
                return answer
        self.config = config
        return None

    async def close(self) -> None:
        """Close it."""
        await self._socket.close()


class TTS(tts.TTS):
    """Speaks with `sled serve`.

    Tokens are sent as they come, not sentence by sentence. Word times come with the audio, so that
    the transcript ends where the speech was interrupted.

    Args:
        url: Address of the server.
        api_key: A key of the server. None: it needs none.
        voice: Name of a voice. None: the model's own.
        sample_rate: Of the audio, in Hz.
        http_session: Session for the connections. None: that of the job.
        **options: Other fields of a request: `speed`, `seed`, `temperature`, `cfg`.

    Raises:
        ValueError: If the address is none.
    """

    def __init__(
        self,
        *,
        url: str = DEFAULT_URL,
        api_key: str | None = None,
        voice: str | None = None,
        sample_rate: int = DEFAULT_RATE,
        http_session: aiohttp.ClientSession | None = None,
        **options: float | int | None,
    ) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=True, aligned_transcript=True),
            sample_rate=sample_rate,
            num_channels=1,
        )
        self._url, self._key = socket_url(url), api_key
        self._options: dict[str, Any] = {"voice": voice, **options}
        self._session = http_session
        self.pool = utils.ConnectionPool[Connection](
            connect_cb=self._connect,
            close_cb=Connection.close,
            max_session_duration=MAX_CONNECTION_S,
            mark_refreshed_on_get=True,
        )

    @property
    @override
    def model(self) -> str:
        """The model of the server, which is not known here."""
        return "sled"

    @property
    @override
    def provider(self) -> str:
        """Who provides the voice."""
        return "sled"

    async def configure(self, connection: Connection, timeout: float) -> None:
        """Let a connection have the settings for its next utterance.

        Args:
            connection: The connection.
            timeout: How long to wait for an answer, in seconds.

        Raises:
            APIError: If the server refuses them, or the connection has ended.
            asyncio.TimeoutError: If the server does not answer.
        """
        failure = await connection.propose(self._config(), timeout)
        if failure is not None and failure.code == NO_MARKS:
            self.capabilities.aligned_transcript = False
            failure = await connection.propose(self._config(), timeout)
        if failure is not None:
            raise error_of(failure)

    def _config(self) -> str:
        return config_message(self.sample_rate, self._options, self.capabilities.aligned_transcript)

    def update_options(self, **options: Any) -> None:
        """Change `voice`, `speed`, `seed`, `temperature` or `cfg` for the next utterances."""
        self._options.update(options)

    @override
    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        """Speak a whole text."""
        return self._synthesize_with_stream(text, conn_options=conn_options)

    @override
    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.SynthesizeStream:
        """Speak a text that is still being written."""
        return SpeechStream(tts=self, conn_options=conn_options)

    @override
    def prewarm(self) -> None:
        """Open a connection before the first text comes."""
        self.pool.prewarm()

    @override
    async def aclose(self) -> None:
        """Close all connections."""
        await self.pool.aclose()

    async def _connect(self, timeout: float) -> Connection:
        return await asyncio.wait_for(self._open(timeout), timeout)

    async def _open(self, timeout: float) -> Connection:
        session = self._session or utils.http_context.http_session()
        connection = Connection(
            await session.ws_connect(self._url, headers=key_headers(self._key), max_msg_size=0)
        )
        try:
            # The server closes a connection that has no settings after some seconds.
            await self.configure(connection, timeout)
        except BaseException:
            await connection.close()
            raise
        return connection


class SpeechStream(tts.SynthesizeStream):
    """One utterance. When it is closed early, so is its connection, and the server stops."""

    _tts: TTS
    _complete = False  # whether the server knows that the text is complete

    @override
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        name = utils.shortuuid()
        output_emitter.initialize(
            request_id=name,
            sample_rate=self._tts.sample_rate,
            num_channels=1,
            mime_type="audio/pcm",
            stream=True,
        )
        output_emitter.start_segment(segment_id=name)
        first = ""
        while not first.strip():  # the server refuses a text of spaces
            piece = await self._next_piece(begun=bool(first))
            if piece is None:
                return
            first += piece
        try:
            async with self._tts.pool.connection(timeout=self._conn_options.timeout) as connection:
                self._acquire_time = self._tts.pool.last_acquire_time
                self._connection_reused = self._tts.pool.last_connection_reused
                try:
                    await self._speak(connection, first, output_emitter)
                except BaseException:
                    await connection.close()  # the pool does it when it is asked for the next one
                    raise
        except asyncio.TimeoutError:
            raise APITimeoutError from None
        except aiohttp.WSServerHandshakeError as error:
            raise APIStatusError(error.message, status_code=error.status) from None
        except (aiohttp.ClientError, ConnectionError) as error:
            raise APIConnectionError(f"no connection to the server: {error}") from error

    async def _next_piece(self, *, begun: bool) -> str | None:
        """The next piece of the text; None if it is complete.

        Args:
            begun: Whether a piece has come: then a flush ends the text, as a stream has one.
        """
        async for piece in self._input_ch:
            if isinstance(piece, str):
                return piece
            if begun:
                return None
        return None

    async def _speak(
        self, connection: Connection, first: str, output_emitter: tts.AudioEmitter
    ) -> None:
        spoken, self._complete = SpokenText(), False
        await self._tts.configure(connection, self._conn_options.timeout)
        writing = asyncio.create_task(self._write(connection, first, spoken))
        try:
            await self._listen(connection, spoken, output_emitter)
        finally:
            await utils.aio.cancel_and_wait(writing)

    async def _write(self, connection: Connection, first: str, spoken: SpokenText) -> None:
        piece: str | None = first
        # Who listens sees that the connection has ended.
        with suppress(aiohttp.ClientError, ConnectionError):
            while piece is not None:
                self._mark_started()
                spoken.feed(piece)
                await connection.send(text_message(piece))
                piece = await self._next_piece(begun=True)
            self._complete = True
            await connection.send(FINISH)

    async def _listen(
        self, connection: Connection, spoken: SpokenText, output_emitter: tts.AudioEmitter
    ) -> None:
        failure: Failure | None = None
        last_s = 0.0
        while not isinstance(event := await self._next_event(connection, failure), Done):
            if isinstance(event, bytes):
                output_emitter.push(event)
            elif isinstance(event, Words):
                for word in event.words:
                    part, last_s = spoken.take(word), word.end_s
                    output_emitter.push_timed_transcript(
                        TimedString(part, start_time=word.start_s, end_time=word.end_s)
                    )
            elif isinstance(event, Failure):
                failure = event
        if failure is not None:
            raise error_of(failure)
        if not self._complete:
            raise APIError("no text came for too long: the server ended it", retryable=False)
        if last_s and (rest := spoken.take_rest()):
            output_emitter.push_timed_transcript(
                TimedString(rest, start_time=last_s, end_time=last_s)
            )

    async def _next_event(self, connection: Connection, failure: Failure | None) -> Event | None:
        """What the server says next. It may be silent while text is still being written.

        Args:
            connection: The connection.
            failure: What went wrong before, if anything.

        Raises:
            APIError: If the connection has ended.
            asyncio.TimeoutError: If nothing comes although the text is complete.
        """
        while True:
            was_complete = self._complete
            try:
                return await connection.receive(self._conn_options.timeout or None)
            except asyncio.TimeoutError:
                if was_complete:
                    raise
            except APIConnectionError:
                if failure is not None:
                    raise error_of(failure) from None
                raise


def error_of(failure: Failure) -> APIError:
    """An error of the server as the framework knows it, which tries again what can succeed."""
    if failure.busy:
        return APIStatusError(failure.message, status_code=BUSY_STATUS, body=failure.code)
    if failure.broken:
        return APIStatusError(failure.message, status_code=FAILED_STATUS, body=failure.code)
    return APIError(failure.message, body=failure.code, retryable=False)
