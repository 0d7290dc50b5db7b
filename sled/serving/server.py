"""The state that all doors share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from sled.serving.errors import ApiError
from sled.serving.metrics import Metrics
from sled.serving.service import SpeechRequest, SpeechService, Utterance
from sled.serving.settings import ServerSettings

logger = logging.getLogger(__name__)


class Server:
    """The service, as soon as it is loaded, and what is counted.

    Args:
        settings: The settings.
        load: Loads the model; called once, on a thread.
        greeting: What the model says to warm up.

    Attributes:
        settings: See above.
        registry: The figures.
        failure: Why the model could not be loaded.
    """

    def __init__(
        self, settings: ServerSettings, load: Callable[[], SpeechService], greeting: str
    ) -> None:
        self.settings, self._load, self._greeting = settings, load, greeting
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
            await self._service.warm_up(self._greeting)
        except Exception as error:  # told by /health, and to whoever started the server
            self.failure = error
            logger.error("the model could not be loaded: %s", error)

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

    @asynccontextmanager
    async def open(self, door: str, request: SpeechRequest) -> AsyncIterator[Utterance]:
        """Open an utterance as `SpeechService.open` does, and count it."""
        code = "ok"
        try:
            async with self.service.open(request) as utterance:
                yield utterance
        except ApiError as error:
            code = error.code
            raise
        except (asyncio.CancelledError, GeneratorExit):
            code = "cancelled"
            if self._metrics is not None:
                self._metrics.cancelled.labels(door).inc()
            raise
        finally:
            if self._metrics is not None:
                self._metrics.requests.labels(door, code).inc()

    def count_first_audio(self, door: str, seconds: float) -> None:
        """Note how long a request waited for its first audio."""
        if self._metrics is not None:
            self._metrics.first_audio.labels(door).observe(seconds)

    def count_audio(self, seconds: float) -> None:
        """Note how much audio was sent."""
        if self._metrics is not None:
            self._metrics.audio_seconds.inc(seconds)
