"""The judge of words: a recogniser writes down what it hears.

Wrong words are counted later, from the transcripts (`sled.evaluation.words`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from sled import transcribe
from sled.evaluation.identity import folder_digest, package_version
from sled.evaluation.judges.base import Heard, Judge
from sled.files.extras import install_command

SAMPLE_RATE = 16_000

Recognizer = Callable[[list[np.ndarray]], list[str]]
"""Returns the words in waveforms [S] at 16 kHz."""


class WordJudge(Judge):
    """Writes down what a recogniser hears.

    Args:
        recognize: The recogniser.
        described: Its version.
    """

    name = "words"

    def __init__(self, recognize: Recognizer, described: str) -> None:
        self._recognize, self.version = recognize, described

    @override
    def judge(self, heard: Sequence[Heard]) -> list[dict[str, Any]]:
        transcripts = self._recognize([self._waveform(one) for one in heard])
        return [{"heard": transcript} for transcript in transcripts]

    def _waveform(self, heard: Heard) -> np.ndarray:
        """The speech at 16 kHz; one that goes on from a prompt stands behind it."""
        waveform, prompt = heard.at(SAMPLE_RATE), heard.item.prompt
        if heard.item.continues and prompt is not None:
            waveform = np.concatenate([prompt.load(SAMPLE_RATE), waveform])
        return waveform


def load_word_judge(name: str, numerals: bool = False, device: str = "cpu") -> WordJudge:
    """Load a recogniser.

    Args:
        name: KIND:MODEL with a kind of `RECOGNIZERS` and a hub name or folder. Without a kind, a
            Whisper model of faster-whisper.
        numerals: Let Whisper write numerals.
        device: Where it computes.

    Raises:
        ValueError: If its package is not installed, or there is no such model.
    """
    kind, colon, model = name.partition(":")
    if not colon or kind not in RECOGNIZERS:
        kind, model = "whisper", name
    recognize, package = RECOGNIZERS[kind](model, numerals, device)
    digest = folder_digest(model)
    details = [f"{kind} {digest or model}", package_version(package)]
    if numerals:
        details.append("with numerals")
    return WordJudge(recognize, ", ".join(details))


def _whisper(model: str, numerals: bool, device: str) -> tuple[Recognizer, str]:
    transcriber = transcribe.Transcriber(model, numerals=numerals)
    return lambda waveforms: [transcriber(one, SAMPLE_RATE) for one in waveforms], "faster-whisper"


def _ctc(model: str, numerals: bool, device: str) -> tuple[Recognizer, str]:
    """A CTC model of transformers, such as facebook/hubert-large-ls960-ft."""
    from transformers import AutoModelForCTC, AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(model)  # type: ignore[no-untyped-call]
        network = AutoModelForCTC.from_pretrained(model).to(device).eval()
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise ValueError(f"cannot load the recogniser {model!r} ({reason})") from error

    @torch.inference_mode()
    def recognize(waveforms: list[np.ndarray]) -> list[str]:
        transcripts = []
        for one in waveforms:  # padding would change what these models hear
            if len(one) < SAMPLE_RATE // 10:
                transcripts.append("")
                continue
            inputs = processor(one, sampling_rate=SAMPLE_RATE, return_tensors="pt").to(device)
            ids = network(**inputs).logits.argmax(-1)
            transcripts.append(processor.batch_decode(ids)[0].lower())
        return transcripts

    return recognize, "transformers"


def _paraformer(model: str, numerals: bool, device: str) -> tuple[Recognizer, str]:
    """Paraformer through FunASR, for Mandarin."""
    try:
        from funasr import AutoModel
    except ImportError as error:
        command = install_command("mandarin")
        raise ValueError(f"paraformer needs FunASR: run {command}") from error
    network = AutoModel(model=model, device=device, disable_update=True)

    def recognize(waveforms: list[np.ndarray]) -> list[str]:
        return [network.generate(input=one, fs=SAMPLE_RATE)[0]["text"] for one in waveforms]

    return recognize, "funasr"


def _nemo(model: str, numerals: bool, device: str) -> tuple[Recognizer, str]:
    """A model of NeMo, such as nvidia/parakeet-tdt-0.6b-v2."""
    try:
        from nemo.collections.asr.models import ASRModel
    except ImportError as error:
        raise ValueError(f"this recogniser needs NeMo: run {install_command('nemo')}") from error
    network = ASRModel.from_pretrained(model).to(device).eval()

    def recognize(waveforms: list[np.ndarray]) -> list[str]:
        return [one.text for one in network.transcribe(waveforms, verbose=False)]

    return recognize, "nemo_toolkit"


RECOGNIZERS: dict[str, Callable[[str, bool, str], tuple[Recognizer, str]]] = {
    "whisper": _whisper,
    "ctc": _ctc,
    "paraformer": _paraformer,
    "nemo": _nemo,
}
"""Loaders of recognisers by kind; each returns it with the name of its package."""
