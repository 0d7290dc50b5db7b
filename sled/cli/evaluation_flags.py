"""Flags that commands which evaluate share; without imports that take time."""

from __future__ import annotations

import argparse

# Options that a checkpoint recommends.
RECOMMENDED = ("cfg", "temperature", "draws")


def add_test_flags(test: argparse._ArgumentGroup, protocol: str | None = None) -> None:
    """Flags that say what is spoken: `--protocol`, `--manifest`, `--data`, `--limit`."""
    source = test.add_mutually_exclusive_group(required=protocol is None)
    source.add_argument(
        "--protocol",
        default=protocol,
        help="name of a protocol in sled/evaluation/protocols, or a YAML file"
        + ("" if protocol is None else f"; unset: {protocol}"),
    )
    source.add_argument("--manifest", help="cut manifest of the test set")
    test.add_argument(
        "--data", help="folder that the protocol's files are in; unset: that of the protocol"
    )
    test.add_argument("--limit", type=int, help="use only this many texts, from the start")


def add_seed_flags(decoding: argparse._ArgumentGroup) -> None:
    """`--seed`, `--seeds` and `--batch_size`."""
    decoding.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of the first text, counted up for the others, and by 1000 for each repetition",
    )
    decoding.add_argument(
        "--seeds", type=int, help="how often all texts are spoken; unset: as the protocol says, 3"
    )
    decoding.add_argument("--batch_size", type=int, default=1, help="texts spoken at once")


def add_judge_flags(parser: argparse.ArgumentParser) -> None:
    """The group of flags of judges."""
    judges = parser.add_argument_group("judges; unset: as the protocol says")
    judges.add_argument(
        "--whisper",
        help="recogniser: Whisper size, which is downloaded from the hub when it is first used, or "
        "the folder of a model for faster-whisper; or KIND:MODEL, with ctc (a model of "
        "transformers), paraformer or nemo; unset: base",
    )
    judges.add_argument(
        "--numerals",
        action="store_true",
        help="let Whisper write numerals; it then drops repeated digits that were spoken",
    )
    judges.add_argument(
        "--speaker_encoder",
        help="compare voices with an x-vector model of transformers (folder or hub name), such as "
        "microsoft/wavlm-base-plus-sv, with resemblyzer, ecapa:FOLDER or an .onnx file; none: "
        "voices are not compared",
    )
    judges.add_argument(
        "--dnsmos",
        action=argparse.BooleanOptionalAction,
        help="rate how natural the speech sounds, from 1 to 5",
    )
    judges.add_argument("--utmos", help="the same with UTMOS: a clone of tarepan/SpeechMOS")


def check_counts(args: argparse.Namespace) -> None:
    """Check flags that count.

    Raises:
        ValueError: If one is below 1.
    """
    for name in ("limit", "batch_size", "seeds"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise ValueError(f"--{name} {getattr(args, name)}: give 1 or more")
