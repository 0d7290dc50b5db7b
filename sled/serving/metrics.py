"""Figures of the server in the format of Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sled.serving.service import SpeechService

SECONDS = (0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)


class Metrics:
    """What is counted.

    Args:
        registry: Receives the figures.
        service: Tells how many sessions there are, and how busy the engine is.

    Attributes:
        requests: Requests by door and code; the code is "ok" or that of the error.
        first_audio: Seconds from a request to its first audio, by door.
        audio_seconds: Seconds of audio sent.
        cancelled: Utterances that their client ended or left, by door.
    """

    def __init__(self, registry: CollectorRegistry, service: SpeechService) -> None:
        self.requests = Counter(
            "sled_requests", "Utterances by door and code", ["door", "code"], registry=registry
        )
        self.first_audio = Histogram(
            "sled_first_audio_seconds",
            "Time from the request to its first audio",
            ["door"],
            registry=registry,
            buckets=SECONDS,
        )
        self.audio_seconds = Counter(
            "sled_audio_seconds", "Seconds of audio sent", registry=registry
        )
        self.cancelled = Counter(
            "sled_cancelled", "Utterances ended or left by the client", ["door"], registry=registry
        )
        sessions = Gauge("sled_sessions", "Sessions by state", ["state"], registry=registry)
        admission, engine = service.admission, service.tts.engine
        sessions.labels("active").set_function(lambda: admission.active)
        sessions.labels("queued").set_function(lambda: admission.queued)
        load = Gauge(
            "sled_real_time_factor",
            "Predicted share of real time that the sessions take",
            registry=registry,
        )
        load.set_function(lambda: engine.predict_load(max(1, admission.active)))
        busy = Gauge(
            "sled_step_running_seconds", "How long the present step has run", registry=registry
        )
        busy.set_function(lambda: engine.step_running_s)
