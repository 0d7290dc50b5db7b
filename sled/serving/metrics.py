"""Figures of the server in the format of Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

import sled
from sled.serving.errors import CODES
from sled.serving.service import SpeechService
from sled.serving.utterance import Utterance

SECONDS = (0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)
STEP_SECONDS = (0.001, 0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.3, 1)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
LEAD_SECONDS = (-1, -0.3, -0.1, -0.03, 0, 0.03, 0.1, 0.3, 1, 3, 10, 30)


class Metrics:
    """What is counted.

    Args:
        registry: Receives the figures.
        service: Tells how many sessions there are, and how busy the engine is.

    Attributes:
        requests: Utterances by door and code; the code is "ok" or that of the error.
        rejected: Utterances that were refused for want of room, by reason.
        queue: Seconds until an utterance was open, its turn and its voice included.
        first_audio: Seconds from a request to its first audio, by door.
        audio_seconds: Seconds of audio sent.
        encoder: Seconds of computing in encoders, by format.
        cancelled: Utterances that their client ended or left, by door.
        least_lead: The least lead of an utterance over a player that began with its first audio.
        underrun: Seconds in which such players had nothing to play.
        continuous: Utterances without such a gap.
        starved: Seconds in which players had nothing to play while their text was incomplete.
    """

    def __init__(self, registry: CollectorRegistry, service: SpeechService) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"sled_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"sled_{name}", text, labels, registry=registry, buckets=buckets)

        self.requests = counter("requests", "Utterances by door and code", "door", "code")
        self.rejected = counter("sessions_rejected", "Utterances refused, by reason", "reason")
        self.queue = histogram(
            "queue_seconds", "Time until an utterance was open: its turn and its voice", SECONDS
        )
        self.first_audio = histogram(
            "first_audio_seconds", "Time from the request to its first audio", SECONDS, "door"
        )
        self.audio_seconds = counter("audio_seconds", "Seconds of audio sent")
        self.encoder = counter("encoder_seconds", "Computing of encoders", "format")
        self.cancelled = counter("cancelled", "Utterances ended or left by the client", "door")
        self.least_lead = histogram(
            "lead_seconds", "Least lead of an utterance over its player", LEAD_SECONDS
        )
        self.underrun = counter("underrun_seconds", "Time in which players had nothing to play")
        self.continuous = counter("continuity_ok", "Utterances whose player never ran dry")
        self.starved = counter(
            "starved_seconds",
            "Time in which players had nothing to play for want of text",
        )
        prefill = counter(
            "prefill_seconds", "Time of the model that read text or speech and drew no frame"
        )
        steps = histogram("step_seconds", "Time of a step of the model", STEP_SECONDS)
        batches = histogram("batch_size", "Utterances in a step of the model", BATCH_SIZES)

        def note_step(num_utterances: int, seconds: float) -> None:
            steps.observe(seconds)
            batches.observe(num_utterances)
            read_s = engine.decoder.read_s
            prefill.inc(max(0.0, read_s - counted_s[0]))  # a new decoder begins with 0
            counted_s[0] = read_s

        admission, engine = service.admission, service.tts.engine
        counted_s = [engine.decoder.read_s]
        engine.on_step = note_step
        sessions = Gauge("sled_sessions", "Sessions by state", ["state"], registry=registry)
        sessions.labels("active").set_function(lambda: admission.active)
        sessions.labels("queued").set_function(lambda: admission.queued)
        gauges = {
            "real_time_factor": (
                "Predicted share of real time that the sessions take",
                lambda: engine.pace.predict_load(max(1, admission.active)),
            ),
            "step_running_seconds": (
                "How long the present step has run",
                lambda: engine.step_running_s,
            ),
            "voices_cached": ("Voices in memory", lambda: float(service.voices.num_loaded)),
        }
        for name, (text, read) in gauges.items():
            Gauge(f"sled_{name}", text, registry=registry).set_function(read)
        build = Info("sled_build", "Version and model", registry=registry)
        device = str(service.tts.model.device)
        build.info({"version": sled.__version__, "model": service.name, "device": device})

    def note_end(self, door: str, code: str, utterance: Utterance | None) -> None:
        """Count an utterance that has ended.

        Args:
            door: Where it came from.
            code: "ok", or why it ended.
            utterance: The utterance. None: it was not opened.
        """
        self.requests.labels(door, code).inc()
        if code == "cancelled":
            self.cancelled.labels(door).inc()
        elif code in CODES and CODES[code][0] in (429, 503):
            self.rejected.labels(code).inc()
        if utterance is None:
            return
        self.audio_seconds.inc(utterance.seconds)
        self.starved.inc(utterance.writing.underrun_s)
        playback = utterance.playback
        if playback.least_lead_s is not None:
            self.least_lead.observe(playback.least_lead_s)
            self.underrun.inc(playback.underrun_s)
            if not playback.underrun_s:
                self.continuous.inc()
