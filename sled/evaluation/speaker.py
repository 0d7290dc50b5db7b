"""Speaker similarity: how much utterances sound like recordings of the same speaker."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import soxr
import torch
from lhotse.cut import Cut
from transformers import AutoFeatureExtractor, AutoModelForAudioXVector

from sled.evaluation.systems import Synthesis, take_recordings

SAMPLE_RATE = 16_000
MIN_SAMPLES = SAMPLE_RATE  # shorter speech is repeated: encoders need some of it

SpeakerEncoder = Callable[[np.ndarray], np.ndarray]
"""Makes an embedding of the voice from speech [S] at 16 kHz."""


def load_speaker_encoder(name: str, device: str = "cpu") -> SpeakerEncoder:
    """Open a speaker encoder.

    Args:
        name: An x-vector model of transformers, as a folder or hub name, such as
            microsoft/wavlm-base-plus-sv; or resemblyzer, whose weights come with its package.
        device: Where it runs.

    Raises:
        ValueError: If it is not installed, or there is no such model.
    """
    return _load_resemblyzer(device) if name == "resemblyzer" else _load_xvector(name, device)


def _load_xvector(name: str, device: str) -> SpeakerEncoder:
    try:
        extractor = AutoFeatureExtractor.from_pretrained(name)
        model = AutoModelForAudioXVector.from_pretrained(name).to(device).eval()
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise ValueError(
            f"cannot load speaker encoder {name!r} ({reason}): name an x-vector model such as "
            "microsoft/wavlm-base-plus-sv, or resemblyzer"
        ) from error

    @torch.inference_mode()
    def encode(speech: np.ndarray) -> np.ndarray:
        inputs = extractor(speech, sampling_rate=SAMPLE_RATE, return_tensors="pt").to(device)
        return model(**inputs).embeddings[0].cpu().numpy()

    return encode


def _load_resemblyzer(device: str) -> SpeakerEncoder:
    try:
        from resemblyzer import VoiceEncoder
    except ImportError as error:
        raise ValueError(
            "the speaker encoder is not installed: run pip install 'sled[speaker]'"
        ) from error
    return VoiceEncoder(device, verbose=False).embed_utterance


class SpeakerJudge:
    """Compares speech with the recordings of a test set.

    An utterance is compared with the mean of all *other* recordings of its speaker, so the
    recordings themselves, judged like any system, show how alike one speaker's utterances are.

    Args:
        encoder: Of voices.
        cuts: The test set.

    Raises:
        ValueError: If a speaker has only one recording.
    """

    def __init__(self, encoder: SpeakerEncoder, cuts: Sequence[Cut]) -> None:
        self._encoder = encoder
        recordings = take_recordings(cuts)
        embeddings = [self._embed(w, recordings.sample_rate) for w in recordings.waveforms]
        speakers = [cut.supervisions[0].speaker for cut in cuts]
        self._voices: list[np.ndarray] = []  # one for each cut
        for own, speaker in enumerate(speakers):
            others = [e for i, e in enumerate(embeddings) if i != own and speakers[i] == speaker]
            if not others:
                raise ValueError(
                    f"speaker {speaker} has a single test recording: similarity takes two of each"
                )
            self._voices.append(np.mean(others, axis=0))

    def __call__(self, synthesis: Synthesis) -> float:
        """Mean cosine between the utterances and their speakers' voices; silence counts as 0."""
        cosines = []
        for waveform, voice in zip(synthesis.waveforms, self._voices, strict=True):
            if len(waveform):
                embedding = self._embed(waveform, synthesis.sample_rate)
                cosines.append(float(embedding @ voice / np.linalg.norm(voice)))
            else:
                cosines.append(0.0)
        return float(np.mean(cosines))

    def _embed(self, waveform: np.ndarray, sample_rate: int) -> np.ndarray:
        """Embedding, of length 1, of a waveform [S]."""
        speech = soxr.resample(waveform, sample_rate, SAMPLE_RATE)
        if len(speech) < MIN_SAMPLES:
            speech = np.resize(speech, MIN_SAMPLES)
        embedding = self._encoder(speech)
        return embedding / np.linalg.norm(embedding)
