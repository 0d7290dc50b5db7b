"""Compares a model's draws with held-out recordings: head.py MODEL CODEC CODES OUTPUT."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from sled.codec import load_codec
from sled.model.registry import load_speech_lm
from sled.text.tokenizer import TextTokenizer
from sled.training.held_out import judge_draws

if __name__ == "__main__":
    folder, codec, codes, output = map(Path, sys.argv[1:])
    model = load_speech_lm(folder)
    found = judge_draws(
        model,
        TextTokenizer.from_pretrained(folder, model.config.architecture.text_normalization),
        load_codec(codec),
        codes,
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(asdict(found)) + "\n", encoding="utf-8")
    print(f"{folder}: score {found.score:.3f}, spread {found.spread:.2f}")
