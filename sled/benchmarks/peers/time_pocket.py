"""Time one utterance of Pocket TTS with random weights, and print its figures as JSON.

    PYTHON time_pocket.py --size 18m --int8

An utterance takes a process, since one that is broken off goes on in its thread.
"""

from __future__ import annotations

import argparse
import json
import time

from random_pocket import SIZES, random_model, random_voice

WARM_UP = "One two three."
TEXT = " ".join(["four", "two", "seven", "one", "nine"] * 5) + "."  # about 10 s of speech


def time_utterance(size: str, quantize: bool) -> dict[str, float]:
    """Return the figures of an utterance; a shorter one before it warms up."""
    model = random_model(size, quantize)
    voice = random_voice(model)
    for _ in model.generate_audio_stream(voice, WARM_UP):
        pass
    samples, first_s = 0, 0.0
    start = time.perf_counter()
    for chunk in model.generate_audio_stream(voice, TEXT):
        first_s = first_s or time.perf_counter() - start
        samples += len(chunk)
    elapsed_s = time.perf_counter() - start
    seconds = samples / model.config.mimi.sample_rate
    return {"rtf": elapsed_s / seconds, "first_audio_ms": 1e3 * first_s, "seconds": seconds}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="one utterance of Pocket TTS, random weights")
    parser.add_argument("--size", choices=SIZES, default="18m", help="parameters of the model")
    parser.add_argument("--int8", action="store_true", help="int8 as the package does it")
    args = parser.parse_args()
    print(json.dumps(time_utterance(args.size, args.int8)))


if __name__ == "__main__":
    main()
