"""Speech recognition with Whisper, through faster-whisper."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import soxr
from torch import Tensor

from sled.files.extras import install_command

WHISPER_SAMPLE_RATE = 16_000
DEFAULT_MODEL = "base"

# Files of a model, among others.
_FILES = ("config.json", "model.bin", "tokenizer.json")

# Whisper was trained on longer audio: a lone digit without silence around it is often misheard.
PADDING_S = 0.5


class Transcriber:
    """Transcribes English speech, with the same settings for every system.

    The settings are: beam 5, temperature 0 without fallback (so the same audio always gives the
    same words), no timestamps, no context from earlier segments, half a second of silence on both
    sides, and by default no numerals, so Whisper writes digits as words. With numerals it formats
    strings such as "3-1-1-3" as telephone numbers, and drops repeated digits that were spoken.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        device: str = "cpu",
        numerals: bool = False,
        num_threads: int = 0,
    ) -> None:
        """Load the model.

        Args:
            model: Model size of faster-whisper or hub name, or a folder with a CTranslate2 model.
            device: "cpu" (int8) or "cuda" (float16).
            numerals: Allow numerals.
            num_threads: CPU threads; 0: the library chooses.

        Raises:
            ValueError: If faster-whisper is not installed, or the model cannot be loaded.
        """
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise ValueError(
                f"transcribing needs faster-whisper: run {install_command('eval')}"
            ) from error
        compute_type = "float16" if device == "cuda" else "int8"
        try:
            self._model = WhisperModel(
                model, device=device, compute_type=compute_type, cpu_threads=num_threads
            )
        except (RuntimeError, OSError, ValueError) as error:  # bad folder, no network, bad name
            raise ValueError(_why_not(model, error)) from error
        # -1 means Whisper's own list of symbols that are not speech.
        self._suppressed_ids = [-1] if numerals else [-1, *self._numeral_ids()]

    def _numeral_ids(self) -> list[int]:
        """Return the ids of all text tokens that contain a numeral."""
        tokenizer = self._model.hf_tokenizer
        num_text_tokens = tokenizer.token_to_id("<|endoftext|>")
        texts = tokenizer.decode_batch([[token_id] for token_id in range(num_text_tokens)])
        return [i for i, text in enumerate(texts) if any(char.isdigit() for char in text)]

    def __call__(self, waveform: Tensor | np.ndarray, sample_rate: int) -> str:
        """Return the words in a waveform [S] at the given rate in Hz; empty if there are none."""
        samples = np.asarray(waveform, dtype=np.float32)
        if len(samples) == 0:  # Whisper hallucinates words in padding alone
            return ""
        if sample_rate != WHISPER_SAMPLE_RATE:
            samples = soxr.resample(samples, sample_rate, WHISPER_SAMPLE_RATE)
        segments, _ = self._model.transcribe(
            np.pad(samples, round(PADDING_S * WHISPER_SAMPLE_RATE)),
            language="en",
            beam_size=5,
            temperature=0.0,
            without_timestamps=True,
            condition_on_previous_text=False,
            suppress_tokens=self._suppressed_ids,
        )
        return " ".join(segment.text.strip() for segment in segments).strip()


@lru_cache(maxsize=1)
def load_recognizer(model: str = DEFAULT_MODEL) -> Transcriber:
    """The recogniser for recordings that come without their words; the latest one is kept.

    Args:
        model: As for `Transcriber`.

    Raises:
        ValueError: If there is none.
    """
    try:
        return Transcriber(model)
    except ValueError as error:
        raise ValueError(f"give the words spoken in the recording, or: {error}") from error


def _why_not(model: str, error: Exception) -> str:
    """Why a Whisper model cannot be loaded, and what to do."""
    from faster_whisper import available_models

    reason = str(error).strip().split("\n", 1)[0]
    folder = Path(model).expanduser()
    if folder.is_dir():
        missing = [name for name in _FILES if not (folder / name).is_file()]
        found = f"it lacks {' and '.join(missing)}" if missing else reason
        return (
            f"{folder} holds no Whisper model for faster-whisper ({found}): name a folder with "
            "config.json, model.bin and tokenizer.json"
        )
    if model in available_models():
        return (
            f"Whisper {model} is not on this machine, and could not be downloaded ({reason}). "
            f"Download the repository Systran/faster-whisper-{model} from the Hugging Face hub on "
            "a machine that reaches it, copy its folder here, and name that with --whisper"
        )
    return (
        f"no Whisper model {model!r} ({reason}): there is no such folder, and the sizes are "
        f"{', '.join(available_models())}"
    )
