"""Extract the speech tokens of recordings.

Writes utt2speech_token.pt. The same command continues an interrupted run. Recordings over 30 s are
encoded in windows of 30 s.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from sled.cli.cache.extraction import (
    add_extraction_flags,
    choose_executor,
    input_folder,
    print_report,
)

EXAMPLE = "sled cache tokens --input data/train --tokenizer speech_tokenizer_v2.onnx"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled cache tokens`."""
    recordings = add_extraction_flags(parser, "folder for the table, or its name with .pt")
    recordings.add_argument(
        "--tokenizer",
        "--onnx_path",
        "--tokenizer_path",
        type=Path,
        required=True,
        help="speech tokenizer: an ONNX file, a folder that `sled tokenizer speech train` wrote, "
        "or a folder with speech_tokenizer_v2.onnx or speech_tokenizer_v1.onnx",
    )
    recordings.add_argument(
        "--linguistic",
        type=Path,
        help="table of tokens of Step-Audio's linguistic codebook: they are mixed 2:3 with those "
        "of the tokenizer",
    )
    for flag in ("--sample_rate", "--model_source"):  # of a published tool, without effect here
        recordings.add_argument(flag, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> None:
    """Extract the tokens.

    Raises:
        ValueError: For recordings or a tokenizer that cannot be used.
    """
    folder = input_folder(args)
    from sled.cli.device import choose_device, choose_onnx_device
    from sled.codec.speech_tokens.files import is_tokenizer_network, tokenizer_files
    from sled.data.tokens.extraction import (
        add_linguistic,
        digest_files,
        extract,
        load_tokens,
    )
    from sled.data.tokens.folder import read_audio_paths
    from sled.data.tokens.tables import SPEECH_TOKENS

    paths = read_audio_paths(folder)
    files = tokenizer_files(args.tokenizer)
    choose = choose_device if is_tokenizer_network(files) else choose_onnx_device
    load = partial(load_tokens, args.tokenizer.absolute(), choose(args.device))
    output = args.output or folder
    table = output if output.suffix == ".pt" else output / SPEECH_TOKENS
    report = extract(
        paths,
        choose_executor(args, load),
        table,
        digest_files(files),
        skip_bad=args.on_bad == "skip",
    )
    if args.linguistic is not None:
        add_linguistic(table, report.rows, args.linguistic)
    print_report(report, table)
    print(f"{sum(map(len, report.rows.values()))} tokens")
