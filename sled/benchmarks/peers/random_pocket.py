"""Pocket TTS with random weights: it sounds like nothing, and takes as long as the released one.

    PYTHON random_pocket.py --size 18m --port 8001

PYTHON is one in which the package `pocket-tts` (4.0) is installed. The server is the package's own;
`random_model` is for other measurements.
"""

from __future__ import annotations

import argparse
import math
import socket
import tempfile
from pathlib import Path
from typing import Any

SIZES = {"117m": "english_2026-10", "18m": "english_18m_2026-10", "2m": "english_2m_2026-10"}
# Random weights do not tell when speech ends, so it ends after the usual time of a token.
SECONDS_PER_TOKEN = 0.25
NEVER = 1e9
VOICE_S = 3.0


def random_model(size: str, quantize: bool = False) -> Any:
    """A `pocket_tts.TTSModel` of a packaged configuration, without its weights.

    Args:
        size: One of `SIZES`.
        quantize: Whether its products are in int8, as the package does it.
    """
    import torch
    import yaml
    from pocket_tts import TTSModel
    from pocket_tts.models import tts_model

    packaged = Path(tts_model.__file__).parents[1] / "config" / f"{SIZES[size]}.yaml"
    config = yaml.safe_load(packaged.read_text(encoding="utf-8"))
    for name in ("weights_path", "weights_path_without_voice_cloning"):
        config.pop(name, None)
    with tempfile.TemporaryDirectory() as folder:
        table = config["flow_lm"]["lookup_table"]
        tokenizer = Path(folder) / "tokenizer.json"
        tokenizer.write_text(_make_tokenizer(table["n_bins"]), encoding="utf-8")
        table |= {"tokenizer": "tokenizers", "tokenizer_path": str(tokenizer)}
        own = Path(folder) / "random.yaml"
        own.write_text(yaml.safe_dump(config), encoding="utf-8")
        torch.manual_seed(0)
        model = TTSModel.load_model(config=own, eos_threshold=NEVER, quantize=quantize)
    rate = model.config.mimi.frame_rate
    model._estimate_max_gen_len = lambda tokens: math.ceil(SECONDS_PER_TOKEN * tokens * rate)
    with torch.no_grad():
        for parameter in model.parameters():  # some are left uninitialised
            if not parameter.isfinite().all():
                parameter.normal_(0, 0.02)
    return model


def random_voice(model: Any) -> Any:
    """The state of a voice, from noise instead of a recording."""
    import torch

    rate = model.config.mimi.sample_rate
    noise = 0.1 * torch.randn(1, int(VOICE_S * rate), generator=torch.Generator().manual_seed(0))
    return model.get_state_for_audio_prompt(noise)


def _make_tokenizer(num_tokens: int) -> str:
    """A byte-pair tokenizer of English with so many tokens, learned from Python's manual."""
    from pydoc_data.topics import topics

    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=num_tokens, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(topics.values(), trainer)
    unused = range(num_tokens - tokenizer.get_vocab_size())
    tokenizer.add_tokens([f"<unused {number}>" for number in unused])
    return tokenizer.to_str()


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description="Pocket TTS's own server with random weights")
    parser.add_argument("--size", choices=SIZES, default="18m", help="parameters of the model")
    parser.add_argument("--int8", action="store_true", help="int8 as the package does it")
    parser.add_argument("--port", type=int, default=8001, help="0 for a free one")
    args = parser.parse_args()

    import uvicorn
    from pocket_tts import main as server

    server.tts_model = random_model(args.size, args.int8)
    server.default_voice_state = random_voice(server.tts_model)
    listener = socket.create_server(("127.0.0.1", args.port))  # who connects now, waits
    port = listener.getsockname()[1]
    print(f"listening at http://127.0.0.1:{port}, Pocket TTS {args.size}", flush=True)
    uvicorn.Server(uvicorn.Config(server.web_app, log_level="warning")).run([listener])


if __name__ == "__main__":
    main()
