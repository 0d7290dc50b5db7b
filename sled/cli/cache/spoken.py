"""Tell which text token is said in each speech token of a Kaldi folder.

Writes utt2spoken_token.pt beside utt2speech_token.pt, from the times of words and letters in an
aligned manifest, whose cuts have the names of the utterances. `sled cache parquet` packs it, and
training with --alignment_weight learns from it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLE = (
    "sled cache spoken --input data/train --manifest aligned_train.jsonl.gz --tokenizer tokenizer "
    "--text_normalization english-phonemes"
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled cache spoken`."""
    parser.add_argument(
        "--input",
        "--dir",
        type=Path,
        metavar="DIR",
        required=True,
        help="Kaldi folder with utt2speech_token.pt",
    )
    parser.add_argument(
        "--manifest",
        type=Path,
        required=True,
        help="cut manifest with the times of its words, which sled align writes",
    )
    parser.add_argument(
        "--tokenizer", required=True, help="text tokenizer of the model: a folder or hub name"
    )
    parser.add_argument(
        "--text_normalization",
        help="normalisation of texts by the model, and in sled align; unset: none",
    )
    parser.add_argument("--token_rate", type=float, default=25.0, help="speech tokens a second")


def run(args: argparse.Namespace) -> None:
    """Write the table, and print how much is known.

    Raises:
        ValueError: For a folder, manifest or tokenizer that cannot be used.
    """
    from sled.data.manifests import load_cuts
    from sled.data.tokens.spoken import write_spoken
    from sled.model.tokens.cosyvoice2 import CosyVoice2LM
    from sled.text.published_tokenizers import load_corpus_tokenizer

    if args.token_rate <= 0:
        raise ValueError(f"--token_rate {args.token_rate:g}: give speech tokens a second")
    tokenizer = load_corpus_tokenizer(
        args.tokenizer, CosyVoice2LM.ADDED_TOKENS, normalization=args.text_normalization
    )
    report = write_spoken(args.input, load_cuts(args.manifest), tokenizer, args.token_rate)
    print(f"{report.utterances} utterances in {report.table}")
    if report.unknown:
        names = ", ".join(report.unknown[:5]) + (", ..." if report.unknown[5:] else "")
        print(f"{len(report.unknown)} without times that fit their text: {names}")
