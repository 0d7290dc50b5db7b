"""Speaker similarity: how similar the voice of speech is to recordings of the same speaker."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import soxr
import torch
from lhotse.cut import Cut
from transformers import AutoFeatureExtractor, AutoModelForAudioXVector

from sled.evaluation.systems import Synthesis, take_recordings
from sled.files.extras import install_command

SAMPLE_RATE = 16_000
MIN_SAMPLES = SAMPLE_RATE  # shorter speech is repeated, since encoders need this much

SpeakerEncoder = Callable[[np.ndarray], np.ndarray]
"""Returns an embedding of the voice in speech [S] at 16 kHz."""


def load_speaker_encoder(name: str, device: str = "cpu") -> SpeakerEncoder:
    """Load a speaker encoder.

    Args:
        name: An x-vector model of transformers, as a folder or hub name, such as
            microsoft/wavlm-base-plus-sv; or resemblyzer, whose weights come with its package.
        device: Device to run on.

    Raises:
        ValueError: If its package is not installed, or there is no such model.
    """
    return _load_resemblyzer(device) if name == "resemblyzer" else _load_xvector(name, device)


def _load_xvector(name: str, device: str) -> SpeakerEncoder:
    try:
        extractor = AutoFeatureExtractor.from_pretrained(name)  # type: ignore[no-untyped-call]
        model = AutoModelForAudioXVector.from_pretrained(name).to(device).eval()
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise ValueError(
            f"cannot load speaker encoder {name!r} ({reason}): name a folder with an x-vector "
            "model of transformers; or resemblyzer, which needs no download "
            f"({install_command('speaker')})"
        ) from error

    @torch.inference_mode()
    def encode(speech: np.ndarray) -> np.ndarray:
        inputs = extractor(speech, sampling_rate=SAMPLE_RATE, return_tensors="pt").to(device)
        embedding: np.ndarray = model(**inputs).embeddings[0].cpu().numpy()
        return embedding

    return encode


def _load_resemblyzer(device: str) -> SpeakerEncoder:
    try:
        from resemblyzer import VoiceEncoder
    except ImportError as error:
        raise ValueError(
            f"the speaker encoder is not installed: run {install_command('speaker')}"
        ) from error
    encoder: SpeakerEncoder = VoiceEncoder(device, verbose=False).embed_utterance
    return encoder


class SpeakerJudge:
    """Compares the voices of speech with the recordings of a test set.

    An utterance is compared with the mean of all other recordings of its speaker. So the score of
    the recordings themselves shows how similar the utterances of one speaker are.

    Args:
        encoder: The speaker encoder.
        cuts: The test set.

    Raises:
        ValueError: If a speaker has only one recording.
    """

    def __init__(self, encoder: SpeakerEncoder, cuts: Sequence[Cut]) -> None:
        self._encoder = encoder
        recordings = take_recordings(cuts)
        embeddings = [self._embed(w, recordings.sample_rate) for w in recordings.waveforms]
        speakers = [cut.supervisions[0].speaker for cut in cuts]
        self._expected: list[np.ndarray] = []  # an embedding for each cut
        for own, speaker in enumerate(speakers):
            others = [e for i, e in enumerate(embeddings) if i != own and speakers[i] == speaker]
            if not others:
                raise ValueError(
                    f"speaker {speaker} has a single test recording: similarity needs two"
                )
            self._expected.append(np.mean(others, axis=0))

    def __call__(self, synthesis: Synthesis) -> float:
        """Return the mean cosine of the utterances to their speakers; an empty utterance has 0."""
        cosines = []
        for waveform, expected in zip(synthesis.waveforms, self._expected, strict=True):
            if len(waveform):
                embedding = self._embed(waveform, synthesis.sample_rate)
                cosines.append(float(embedding @ expected / np.linalg.norm(expected)))
            else:
                cosines.append(0.0)
        return float(np.mean(cosines))

    def _embed(self, waveform: np.ndarray, sample_rate: int) -> np.ndarray:
        """Return the embedding of a waveform [S], of length 1."""
        speech = soxr.resample(waveform, sample_rate, SAMPLE_RATE)
        if len(speech) < MIN_SAMPLES:
            speech = np.resize(speech, MIN_SAMPLES)
        embedding = self._encoder(speech)
        normalized: np.ndarray = embedding / np.linalg.norm(embedding)
        return normalized
