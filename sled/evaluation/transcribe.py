"""The listener: Whisper, through faster-whisper, writes down what it hears."""

import numpy as np
import soxr
from torch import Tensor

WHISPER_SAMPLE_RATE = 16_000

# Whisper was trained on longer audio: a lone digit without silence around it is often misheard.
PADDING_S = 0.5


class Transcriber:
    """Writes down English speech, the same way for every system that is compared.

    Settings: beam 5, temperature 0 without fallback (so the same audio always gives the same
    words), no timestamps, no context from earlier segments, half a second of silence on both
    sides, and, unless asked for, no numerals: Whisper then writes digits as words. Left to write
    "3-1-1-3" it formats telephone numbers and drops repeated digits that were clearly spoken.
    """

    def __init__(
        self,
        model: str = "base",
        device: str = "cpu",
        numerals: bool = False,
        num_threads: int = 0,
    ) -> None:
        """Load the model.

        Args:
            model: faster-whisper model size or hub name, or a folder with a CTranslate2 model.
            device: "cpu" (int8) or "cuda" (float16).
            numerals: let Whisper write numbers as it likes.
            num_threads: CPU threads; 0 lets the library choose.

        Raises:
            ValueError: faster-whisper is not installed, or no such model can be loaded.
        """
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise ValueError(
                "the listener needs faster-whisper: run pip install 'sled[eval]'"
            ) from error
        compute_type = "float16" if device == "cuda" else "int8"
        try:
            self._model = WhisperModel(
                model, device=device, compute_type=compute_type, cpu_threads=num_threads
            )
        except (RuntimeError, OSError, ValueError) as error:  # bad folder, no network, bad name
            raise ValueError(
                f"cannot load Whisper model {model!r} ({_first_line(error)}): name a size such as "
                "base, or a folder with a CTranslate2 model"
            ) from error
        # -1 stands for Whisper's own list of symbols that are not speech.
        self._suppressed_ids = [-1] if numerals else [-1, *self._numeral_ids()]

    def _numeral_ids(self) -> list[int]:
        """Ids of all text tokens that hold a numeral."""
        tokenizer = self._model.hf_tokenizer
        num_text_tokens = tokenizer.token_to_id("<|endoftext|>")
        texts = tokenizer.decode_batch([[token_id] for token_id in range(num_text_tokens)])
        return [i for i, text in enumerate(texts) if any(char.isdigit() for char in text)]

    def __call__(self, waveform: Tensor | np.ndarray, sample_rate: int) -> str:
        """Words heard in a waveform [S] at the given rate in Hz; empty if none were."""
        samples = np.asarray(waveform, dtype=np.float32)
        if len(samples) == 0:  # over padding alone, Whisper imagines words
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


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
