#!/usr/bin/env python
"""Write what a model draws where recordings are, for its codec's decoder to learn to speak.

The model reads the texts of a cached corpus and hears its recordings, or in their place some of
its own frames. Then adapt the codec: `scripts/train_codec.py --finetune_path CODEC --draws OUTPUT`
with the manifest that the corpus was encoded from. Run it again to continue an interrupted run.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from sled.cli import choose_device, run_main
from sled.codec import load_codec
from sled.decoding import DecodingOptions
from sled.model import SpeechLlamaForCausalLM
from sled.text import TextTokenizer
from sled.training.draws import cache_draws


def main(argv: list[str] | None = None) -> None:
    """Parse the flags, draw, and say how much."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--model", required=True, help="checkpoint folder")
    parser.add_argument("--codec", required=True, help="codec, as the model was trained with it")
    parser.add_argument("--codes", type=Path, required=True, help="corpus, cached as codes")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder for the draws")
    parser.add_argument("--hours", type=float, default=4.0, help="of speech, from the first on")
    parser.add_argument("--max_duration_s", type=float, default=12.0, help="leave out longer ones")
    parser.add_argument("--cfg", type=float, help="guidance; unset: what the model speaks with")
    parser.add_argument("--temperature", type=float, help="of the head's noise, likewise")
    parser.add_argument("--draws", type=int, help="whose mean each frame is, likewise")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps, or auto")
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    args = parser.parse_args(argv)
    device = choose_device(args.device)
    model = SpeechLlamaForCausalLM.from_pretrained(args.model, dtype=torch.float32).to(device)
    flags = {key: getattr(args, key) for key in ("cfg", "temperature", "draws")}
    given = {key: value for key, value in flags.items() if value is not None}
    hours = cache_draws(
        model.eval(),
        load_codec(args.codec, device=device),
        TextTokenizer.from_pretrained(args.model, model.config.text_normalization),
        args.codes,
        args.output_dir,
        replace(DecodingOptions.of_model(model.config), **given),
        args.hours,
        args.max_duration_s,
        args.seed,
    )
    print(f"{args.output_dir}: draws for {hours:.2f} h of speech")


if __name__ == "__main__":
    run_main(main)
