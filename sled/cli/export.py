"""Write a model and its codec in half precision, for publication, or as ONNX graphs.

The settings that it should speak with are written into its configuration. With `--onnx`, the whole
chain from text to sound becomes graphs in float32, with which `python -m sled.onnx FOLDER TEXT`
speaks without PyTorch.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from sled.cli.flags import add_output_flag, given

EXAMPLE = "sled export --model model --codec codec -o shipped"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled export`."""
    parser.add_argument("--model", required=True, help="checkpoint folder to export")
    parser.add_argument("--codec", help="codec folder to put beside it")
    add_output_flag(parser, "folder to write")
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16"),
        default="float16",
        help="type of the weights",
    )
    parser.add_argument(
        "--max_shard_size",
        default="50GB",
        help="largest file of weights, such as 15MB; a larger model is split into several",
    )
    parser.add_argument("--onnx", action="store_true", help="write ONNX graphs of the whole chain")
    parser.add_argument(
        "--voice",
        action="append",
        default=[],
        type=Path,
        help="with --onnx: a voice file of `sled voices make` to put into it, by its name; "
        "may be given several times",
    )
    speaking = parser.add_argument_group("recommended settings; unset: as in the checkpoint")
    speaking.add_argument("--temperature", type=float, help="scale of the noise")
    speaking.add_argument("--cfg", type=float, help="guidance scale")
    speaking.add_argument("--draws", type=int, help="number of draws per frame")


def run(args: argparse.Namespace) -> None:
    """Export, and print the size of the result."""
    if args.onnx:
        _export_onnx(args)
    else:
        _export_weights(args)
    size = sum(file.stat().st_size for file in args.output.rglob("*") if file.is_file())
    print(f"{args.output}: {size / 1e6:.1f} MB")


def _export_weights(args: argparse.Namespace) -> None:
    from sled.training.export import export

    if args.voice:
        raise ValueError("--voice is for --onnx: without it, voice files are not needed")
    export(
        args.model,
        args.output,
        args.codec,
        args.dtype,
        args.max_shard_size,
        args.temperature,
        args.cfg,
        args.draws,
    )


def _export_onnx(args: argparse.Namespace) -> None:
    from sled.decoding import DecodingOptions
    from sled.loading import load_plain_parts
    from sled.onnx.export import export_chain
    from sled.streaming.voice_file import VoiceFile

    model, tokenizer, codec = load_plain_parts(args.model, args.codec)
    named: dict[str, Any] = given(args, "temperature", "cfg", "draws")
    options = replace(DecodingOptions.of_model(model.config), **named)
    options.check(model, model.layout)
    voices = {path.stem: VoiceFile.read(path, codec) for path in args.voice}
    export_chain(model, tokenizer, codec, args.output, options, voices)
