"""Store a model's predictions for a corpus, so that its codec's decoder can be adapted to them.

The model reads the texts of a cached corpus and, as history, the recordings or some of its own
frames. Then adapt the codec with `sled codec train --finetune_path CODEC --predictions OUTPUT` and
the manifest that the corpus was encoded from. The same command continues an interrupted run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sled.cli.flags import (
    add_codec_flag,
    add_device_flag,
    add_model_flag,
    add_output_flag,
    add_sampling_flags,
    given,
)

EXAMPLE = (
    "sled cache predictions --model model --codec codec --codes codes/train -o predictions/train"
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled cache predictions`."""
    add_model_flag(parser, required=True)
    add_codec_flag(parser, required=True)
    parser.add_argument("--codes", type=Path, required=True, help="folder of the cached codes")
    add_output_flag(parser, "folder for the predictions")
    parser.add_argument("--hours", type=float, default=4.0, help="hours of speech to predict")
    parser.add_argument("--max_duration_s", type=float, default=12.0, help="leave out longer cuts")
    parser.add_argument(
        "--offline_share",
        type=float,
        default=0.5,
        help="share of batches in which a streaming model reads all text first; 0 if it was not "
        "trained for that",
    )
    add_sampling_flags(parser)
    add_device_flag(parser)
    parser.add_argument("--seed", type=int, default=0, help="seed of the noise and of the choice")


def run(args: argparse.Namespace) -> None:
    """Predict, and print how much."""
    from dataclasses import replace

    import torch

    from sled.cli.device import choose_device
    from sled.codec import load_codec
    from sled.decoding import DecodingOptions
    from sled.loading import model_folder
    from sled.model.registry import load_speech_lm
    from sled.text.tokenizer import TextTokenizer
    from sled.training.predictions import cache_predictions

    device = choose_device(args.device)
    folder = model_folder(args.model)
    model = load_speech_lm(folder, torch.float32).to(device)
    hours = cache_predictions(
        model.eval(),
        TextTokenizer.from_pretrained(folder, model.config.architecture.text_normalization),
        load_codec(args.codec, device=device),
        args.codes,
        args.output,
        replace(
            DecodingOptions.of_model(model.config),
            **given(args, "cfg", "temperature", "draws"),  # type: ignore[arg-type]
        ),
        hours=args.hours,
        max_duration_s=args.max_duration_s,
        offline_share=args.offline_share,
        seed=args.seed,
    )
    print(f"{args.output}: predictions for {hours:.2f} h of speech")
