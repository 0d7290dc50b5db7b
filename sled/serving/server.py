"""The state that all doors share."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from prometheus_client import CollectorRegistry
from starlette.websockets import WebSocketDisconnect

from sled.serving.caller import present_caller
from sled.serving.encoding import AudioEncoder
from sled.serving.errors import ApiError, ConnectionEnded
from sled.serving.keys import Key, Keys, check_names, key_named_by_digest, read_keys
from sled.serving.metrics import Metrics
from sled.serving.service import SpeechRequest, SpeechService
from sled.serving.settings import ServerSettings
from sled.serving.text_feed import TextFeed
from sled.serving.utterance import Utterance
from sled.serving.voices.presets import read_presets

logger = logging.getLogger(__name__)

# How an utterance ends whose caller has left.
CALLER_GONE = (asyncio.CancelledError, GeneratorExit, ConnectionEnded, WebSocketDisconnect, OSError)


class Server:
    """The service, as soon as it is loaded, and what is counted.

    Args:
        settings: The settings.
        load: Loads the model; called once, on a thread.
        greeting: What the model says to warm up, as a preview of a voice, and in the example that
            whoever started the server is shown.
        name: Name of the model, known before it is loaded.

    Attributes:
        settings: See above.
        greeting: See above.
        keys: Who may use the server.
        registry: The figures.
        failure: Why the model could not be loaded.

    Raises:
        ValueError: If the file of keys or that of presets is wrong.
    """

    def __init__(
        self,
        settings: ServerSettings,
        load: Callable[[], SpeechService],
        greeting: str,
        name: str,
    ) -> None:
        self.settings, self._load, self.greeting = settings, load, greeting
        keys = [key_named_by_digest(key) for key in dict.fromkeys(settings.keys)]
        if settings.keys_file is not None:
            keys += read_keys(settings.keys_file)
        check_names(keys)
        if settings.presets is not None:
            read_presets(settings.presets)  # an error is told before the model is loaded
        self.keys = Keys(keys, settings.token_secret)
        self._name = name
        self.registry = CollectorRegistry()
        self.failure: Exception | None = None
        self._draining = False
        self._service: SpeechService | None = None
        self._metrics: Metrics | None = None

    async def start(self) -> None:
        """Load the model and warm it up."""
        try:
            self._service = await asyncio.to_thread(self._load)
            self._metrics = Metrics(self.registry, self._service)
            await self._service.warm_up(self.greeting)
        except Exception as error:  # told by /health, and to whoever started the server
            self.failure = error
            is_known = isinstance(error, ValueError | OSError)  # its message says what to do
            logger.error("the model could not be loaded: %s", error, exc_info=not is_known)

    def refuse_new(self) -> None:
        """Refuse new sessions from now on; those that speak go on."""
        self._draining = True
        if self._service is not None:
            self._service.admission.draining = True

    @property
    def active(self) -> int:
        """Sessions that speak."""
        return 0 if self._service is None else self._service.admission.active

    @property
    def service(self) -> SpeechService:
        """The service.

        Raises:
            ApiError: `starting` while it is being loaded, `engine_failed` if it cannot be.
        """
        if self.failure is not None:
            raise ApiError("engine_failed", f"the model could not be loaded: {self.failure}")
        if self._service is None:
            raise ApiError("starting", "the model is being loaded: try again", None, 1.0)
        return self._service

    @property
    def voice_names(self) -> list[str]:
        """Names of the voices; while the model is being loaded, that of its own voice."""
        return [self._name] if self._service is None else list(self._service.voices)

    @property
    def healthy(self) -> bool:
        """Whether the model is loading or works."""
        if self.failure is not None:
            return False
        return self._service is None or self._service.healthy

    @property
    def ready(self) -> bool:
        """Whether a request would be taken now."""
        loaded = self._service is not None and self._service.ready
        return self.healthy and loaded and not self._draining

    def check_open(self, key: Key) -> None:
        """Check whether an utterance for this key could be begun now; it may still have to wait.

        Raises:
            ApiError: `starting`, `engine_failed`, `draining`, `at_capacity`, `too_many_sessions`,
                `rate_limited`.
        """
        service = self.service
        if not service.ready:
            raise ApiError("starting", "the model is being loaded: try again", None, 1.0)
        self.keys.check(key)
        service.admission.check_open(key.name)

    def check_text(self, text: str, param: str) -> None:
        """Check a text that is complete.

        Args:
            text: The text.
            param: The field that it comes in.

        Raises:
            ApiError: `text_empty`, or `text_too_long`.
        """
        if not text.strip():
            raise ApiError("text_empty", f"{param} is blank: give at least one word", param)
        longest = self.settings.max_input_chars
        if len(text) > longest:
            raise ApiError(
                "text_too_long",
                f"{param} has {len(text)} characters, at most {longest} are spoken at once: "
                "divide it",
                param,
            )

    @property
    def step_running_s(self) -> float:
        """For how long the engine has been in one step, in seconds."""
        return 0.0 if self._service is None else self._service.tts.engine.step_running_s

    @contextmanager
    def counting_refusals(self, door: str) -> Iterator[None]:
        """Count a request that is refused before its utterance is opened."""
        try:
            yield
        except ApiError as error:
            self._note_end(door, error.code, None)
            raise

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """A slot for work that nobody listens to while it is done.

        Raises:
            ApiError: If there is none, or the key may not have it.
        """
        key = present_caller().key
        with self.keys.session(key):
            async with self.service.admission.slot(key.name) as settle:
                settle()
                yield

    @asynccontextmanager
    async def open(
        self, door: str, request: SpeechRequest, text: TextFeed | None = None
    ) -> AsyncIterator[Utterance]:
        """Open an utterance as `SpeechService.open` does, and count it.

        Args:
            door: Where it came from.
            request: How to say it.
            text: Its text, as far as it has come. None: the caller feeds the utterance.
        """
        code, begun_s = "ok", time.perf_counter()
        utterance: Utterance | None = None

        def count_first_audio() -> None:
            if self._metrics is not None:
                waited_s = time.perf_counter() - begun_s
                self._metrics.first_audio.labels(door).observe(waited_s)

        try:
            with self.keys.session(present_caller().key):
                async with self.service.open(request) as utterance:
                    if self._metrics is not None:
                        self._metrics.queue.observe(time.perf_counter() - begun_s)
                    utterance.on_first_audio = count_first_audio
                    if text is not None:
                        text.attach(utterance)
                    yield utterance
        except ApiError as error:
            code = error.code
            raise
        except CALLER_GONE:
            code = "cancelled"
            raise
        except BaseException:
            code = "internal_error"
            raise
        finally:
            if text is not None:
                text.detach()
            self._note_end(door, code, utterance)

    def _note_end(self, door: str, code: str, utterance: Utterance | None) -> None:
        """Count an utterance that has ended, and write a line of the log."""
        seconds = 0.0 if utterance is None else utterance.seconds
        fields: dict[str, Any] = {"door": door, "code": code, "audio_s": round(seconds, 3)}
        line = f"{door}: {code}, {seconds:.1f} s of audio"
        if self.settings.log_text and utterance is not None:
            fields["text"] = utterance.text
            line += f": {utterance.text!r}"
        logger.info("%s", line, extra={"fields": fields})
        if self._metrics is not None:
            self._metrics.note_end(door, code, utterance)

    def count_encoding(self, encoder: AudioEncoder) -> None:
        """Note how long an encoder has computed."""
        if self._metrics is not None:
            self._metrics.encoder.labels(encoder.format.name).inc(encoder.busy_s)
