"""Write a corpus of any form as a Kaldi folder, for extraction of speech tokens and Parquet.

The corpus is LibriTTS, a folder of recordings with a text file beside each (one.txt, one.lab or
one.normalized.txt), a folder with metadata.csv, a Kaldi folder, or a file of JSON lines. The folder
gets wav.scp, text, utt2spk and spk2utt.
"""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLE = "sled prepare kaldi-folder --input LibriTTS/dev-clean -o data/dev-clean"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled prepare kaldi-folder`."""
    parser.add_argument(
        "--input", "--src_dir", type=Path, metavar="PATH", required=True, help="folder or file"
    )
    parser.add_argument(
        "--output",
        "-o",
        "--des_dir",
        type=Path,
        metavar="DIR",
        required=True,
        help="the Kaldi folder",
    )
    parser.add_argument(
        "--on_bad",
        choices=("skip", "stop"),
        default="skip",
        help="leave bad items out and list them in rejected.jsonl, or stop at the first one",
    )
    parser.add_argument(
        "--without_text",
        action="store_true",
        help="take recordings of JSON lines without a text, too, of which flows and vocoders learn",
    )


def run(args: argparse.Namespace) -> None:
    """Write the folder, and print how many utterances it has.

    Raises:
        ValueError: If it is the Kaldi folder that is read, or as `write_folder`.
    """
    import json
    from dataclasses import asdict

    from sled.data.tokens.folder import read_any_corpus, read_folder, write_folder

    if args.input.resolve() == args.output.resolve():
        raise ValueError(f"{args.output} is the input, too: name another --output")
    needs_text = not args.without_text
    rejected = write_folder(
        read_any_corpus(args.input, needs_text),
        args.output,
        stop_at_bad=args.on_bad == "stop",
        needs_text=needs_text,
    )
    print(f"{len(read_folder(args.output))} utterances, {args.output}")
    if rejected:
        path = args.output / "rejected.jsonl"
        lines = (json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in rejected)
        # A broken name is written as JSON escapes it.
        path.write_text("".join(lines), encoding="utf-8", errors="backslashreplace")
        print(f"rejected: {len(rejected)}, {path}")
