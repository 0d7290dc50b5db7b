#!/usr/bin/env python
"""Write what a model predicts where recordings are, for its codec's decoder to learn to speak.

The model reads the texts of a cached corpus and hears its recordings, or some of its own frames in
their place. Then adapt the codec with `scripts/train_codec.py --finetune_path CODEC --predictions
OUTPUT` and the manifest that the corpus was encoded from. Run it again to continue an interrupted
run.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from sled.cli.speaking import add_draws_flag, choose_device, run_main
from sled.codec import load_codec
from sled.decoding import DecodingOptions
from sled.model.lm import SpeechLlamaForCausalLM
from sled.text.tokenizer import TextTokenizer
from sled.training.predictions import cache_predictions


def main(argv: list[str] | None = None) -> None:
    """Parse the flags, predict, and say how much."""
    args = make_parser().parse_args(argv)
    device = choose_device(args.device)
    model = SpeechLlamaForCausalLM.from_pretrained(args.model, dtype=torch.float32).to(device)
    flags = {key: getattr(args, key) for key in ("cfg", "temperature", "draws")}
    given = {key: value for key, value in flags.items() if value is not None}
    hours = cache_predictions(
        model.eval(),
        TextTokenizer.from_pretrained(args.model, model.config.architecture.text_normalization),
        load_codec(args.codec, device=device),
        args.codes,
        args.output_dir,
        replace(DecodingOptions.of_model(model.config), **given),
        hours=args.hours,
        max_duration_s=args.max_duration_s,
        offline_share=args.offline_share,
        seed=args.seed,
    )
    print(f"{args.output_dir}: predictions for {hours:.2f} h of speech")


def make_parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--model", required=True, help="checkpoint folder")
    parser.add_argument("--codec", required=True, help="codec, as the model was trained with it")
    parser.add_argument("--codes", type=Path, required=True, help="corpus, cached as codes")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder for the frames")
    parser.add_argument("--hours", type=float, default=4.0, help="of speech, of all the corpus")
    parser.add_argument("--max_duration_s", type=float, default=12.0, help="leave out longer ones")
    parser.add_argument(
        "--offline_share",
        type=float,
        default=0.5,
        help="share of batches in which a streaming model reads all text first; 0 if it was not "
        "trained to",
    )
    parser.add_argument("--cfg", type=float, help="guidance; unset: as the model says, or 2")
    parser.add_argument(
        "--temperature", type=float, help="of the head's noise; unset: as the model says, or 1"
    )
    add_draws_flag(parser)
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps, or auto")
    parser.add_argument("--seed", type=int, default=0, help="of the noise, and of what is taken")
    return parser


if __name__ == "__main__":
    run_main(main)
