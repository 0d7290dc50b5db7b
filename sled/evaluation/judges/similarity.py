"""Speaker similarity: how similar the voice of speech is to recordings of the same speaker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoFeatureExtractor, AutoModelForAudioXVector
from typing_extensions import override

from sled.evaluation.identity import folder_digest, package_version
from sled.evaluation.items import Clip, Item
from sled.evaluation.judges.base import Heard, Judge
from sled.files.extras import install_command

SAMPLE_RATE = 16_000
MIN_SAMPLES = SAMPLE_RATE  # shorter speech is repeated, since encoders need this much

SpeakerEncoder = Callable[[np.ndarray], np.ndarray]
"""Returns an embedding of the voice in speech [S] at 16 kHz."""


def load_speaker_encoder(name: str, device: str = "cpu") -> SpeakerEncoder:
    """Load a speaker encoder.

    Args:
        name: An x-vector model of transformers, as a folder or hub name, such as
            microsoft/wavlm-base-plus-sv; resemblyzer, whose weights come with its package;
            ecapa:FOLDER, a model of SpeechBrain; or an .onnx file that turns a waveform [1, S]
            into an embedding, such as an export of WavLM-large.
        device: Device to run on.

    Raises:
        ValueError: If its package is not installed, or there is no such model.
    """
    if name == "resemblyzer":
        return _load_resemblyzer(device)
    if name.startswith("ecapa:"):
        return _load_ecapa(name.removeprefix("ecapa:"), device)
    return _load_onnx(name) if name.endswith(".onnx") else _load_xvector(name, device)


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


def _load_ecapa(folder: str, device: str) -> SpeakerEncoder:
    try:
        from speechbrain.inference.speaker import EncoderClassifier
    except ImportError as error:
        command = install_command("ecapa")
        raise ValueError(f"ECAPA needs SpeechBrain: run {command}") from error
    model = EncoderClassifier.from_hparams(source=folder, run_opts={"device": device})

    def encode(speech: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(speech)[None].to(device)
        embedding: np.ndarray = model.encode_batch(batch)[0, 0].cpu().numpy()
        return embedding

    return encode


def _load_onnx(path: str) -> SpeakerEncoder:
    if not Path(path).is_file():
        raise ValueError(f"no speaker encoder at {path}: check the path")
    try:
        import onnxruntime
    except ImportError as error:
        command = install_command("fast")
        raise ValueError(f"{path} needs ONNX Runtime: run {command}") from error
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def encode(speech: np.ndarray) -> np.ndarray:
        embedding: np.ndarray = session.run(None, {name: speech[None].astype(np.float32)})[0]
        return embedding.reshape(-1)

    return encode


class SimilarityJudge(Judge):
    """Compares the voice of speech with the prompt, or with the speaker's recordings.

    An utterance with a prompt is compared with it; one without with the mean of all other
    recordings of its speaker. So the figure of the recordings shows how similar the utterances of
    one speaker are. `similarity_codec` compares it with the same after a codec, which is what a
    model with this codec could reach.

    Args:
        encoder: The speaker encoder.
        described: Its version.
        items: The test set.
        reconstruct: Encodes and decodes a recording, and returns it [S] with its rate in Hz.
            None: nothing is compared after a codec.
    """

    name = "similarity"

    def __init__(
        self,
        encoder: SpeakerEncoder,
        described: str,
        items: Sequence[Item],
        reconstruct: Callable[[Clip], tuple[np.ndarray, int]] | None = None,
    ) -> None:
        self._encoder, self.version = encoder, described
        self._items, self._reconstruct = list(items), reconstruct
        self._embeddings: dict[tuple[str, bool], np.ndarray] = {}

    @override
    def judge(self, heard: Sequence[Heard]) -> list[dict[str, Any]]:
        return [self._judge(one) for one in heard]

    def _judge(self, heard: Heard) -> dict[str, Any]:
        judged: dict[str, Any] = {}
        own = None if heard.is_silent else self._embed(heard.at(SAMPLE_RATE))
        for name, through_codec in (("similarity", False), ("similarity_codec", True)):
            if through_codec and self._reconstruct is None:
                continue
            expected = self._expected(heard.item, through_codec)
            if expected is None:
                continue
            # There is no voice in silence.
            judged[name] = 0.0 if own is None else float(own @ expected / np.linalg.norm(expected))
        return judged

    def _expected(self, item: Item, through_codec: bool) -> np.ndarray | None:
        """The embedding to compare with. None: there is nothing to compare with."""
        if item.prompt is not None:
            return self._embedding(item.prompt, through_codec)
        if item.recording is None:
            return None
        others = [
            self._embedding(other.recording, through_codec)
            for other in self._items
            if other.id != item.id and other.speaker == item.speaker and other.recording is not None
        ]
        if not others:
            raise ValueError(
                f"speaker {item.speaker} has a single test recording: similarity needs two"
            )
        mean: np.ndarray = np.mean(others, axis=0)
        return mean

    def _embedding(self, clip: Clip, through_codec: bool) -> np.ndarray:
        key = (clip.name, through_codec)
        if key not in self._embeddings:
            if through_codec:
                assert self._reconstruct is not None
                audio, rate = self._reconstruct(clip)
                speech = Heard(self._items[0], audio, rate).at(SAMPLE_RATE)
            else:
                speech = clip.load(SAMPLE_RATE)
            self._embeddings[key] = self._embed(speech)
        return self._embeddings[key]

    def _embed(self, speech: np.ndarray) -> np.ndarray:
        """Return the embedding of speech [S], of length 1."""
        if len(speech) < MIN_SAMPLES:
            speech = np.resize(speech, MIN_SAMPLES)
        embedding = self._encoder(speech)
        normalized: np.ndarray = embedding / np.linalg.norm(embedding)
        return normalized


def describe_encoder(name: str) -> str:
    """The version of a speaker encoder."""
    if name == "resemblyzer":
        return package_version("resemblyzer")
    return folder_digest(name.removeprefix("ecapa:")) or name
