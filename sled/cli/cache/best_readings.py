"""Read texts several times, and cache the reading of each that a judge likes best, to train on.

The folder is a cached corpus like that of `sled cache codes`: `sled train --finetune_path` goes on
with it, alone or mixed with recordings. Beside the codes, readings.*.jsonl lists all readings with
their seeds and rewards. The same command continues an interrupted run.
"""

from __future__ import annotations

import argparse

from sled.cli.flags import (
    add_codec_flag,
    add_device_flag,
    add_dtype_flag,
    add_model_flag,
    add_output_flag,
    add_sampling_flags,
    given,
)

EXAMPLE = (
    "sled cache best-readings --model model --manifest cuts_train.jsonl.gz "
    "--aligner aligner.safetensors -o best"
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled cache best-readings`."""
    model = parser.add_argument_group("model")
    add_model_flag(model, required=True)
    add_codec_flag(model)
    add_device_flag(model)
    add_dtype_flag(model)
    texts = parser.add_argument_group("texts")
    texts.add_argument(
        "--manifest",
        required=True,
        help="cut manifest whose texts are read, or a text file with a text on each line",
    )
    texts.add_argument("--limit", type=int, help="use only this many texts, from the start")
    judges = parser.add_argument_group("judge; one of them")
    judge = judges.add_mutually_exclusive_group(required=True)
    judge.add_argument(
        "--aligner",
        metavar="FILE",
        help="how likely the text is, given the speech: a network that sled align --network wrote",
    )
    judge.add_argument(
        "--whisper",
        metavar="MODEL",
        help="how many words are right: a recogniser, as for sled evaluate",
    )
    judge.add_argument(
        "--speaker_encoder",
        metavar="MODEL",
        help="how similar the voice is to the speaker's recordings in the manifest: a speaker "
        "encoder, as for sled evaluate",
    )
    judge.add_argument("--dnsmos", action="store_true", help="how natural the speech sounds")
    readings = parser.add_argument_group("readings")
    readings.add_argument("--readings", type=int, default=8, help="readings of each text")
    readings.add_argument(
        "--offline_share",
        type=float,
        default=0.5,
        help="share of the readings in which a streaming model reads all text first; 0 if it was "
        "not trained for that",
    )
    add_sampling_flags(readings)
    readings.add_argument(
        "--seed", type=int, default=0, help="seed of the first reading; the others are counted up"
    )
    readings.add_argument("--batch_size", type=int, default=16, help="texts read at once")
    output = parser.add_argument_group("output")
    add_output_flag(output, "folder of the corpus")
    output.add_argument(
        "--shard_size", type=int, default=64, help="texts per shard; what is kept of a killed run"
    )


def run(args: argparse.Namespace) -> None:
    """Read, judge and cache, and print the rewards.

    Raises:
        ValueError: For flags that cannot be followed, and as `cache_best_readings`.
    """
    from dataclasses import replace
    from pathlib import Path

    from sled.cli.device import choose_device
    from sled.evaluation.best_readings import ReadingSettings, cache_best_readings
    from sled.evaluation.protocol import read_items, texts_protocol
    from sled.evaluation.rewards import load_reward
    from sled.tts import TTS

    settings = ReadingSettings(
        readings=args.readings,
        offline_share=args.offline_share,
        seed=args.seed,
        batch_size=args.batch_size,
        shard_size=args.shard_size,
    )
    if args.limit is not None and args.limit < 1:
        raise ValueError(f"--limit {args.limit}: give 1 or more")
    device = choose_device(args.device)
    items = read_items(texts_protocol(args.manifest), Path(), args.limit)
    tts = TTS.from_pretrained(args.model, codec=args.codec, device=device, dtype=args.dtype)
    name, model = next(
        (name, value)
        for name, value in {
            "spelling": args.aligner,
            "words": args.whisper,
            "similarity": args.speaker_encoder,
            "dnsmos": args.dnsmos,
        }.items()
        if value
    )
    report = cache_best_readings(
        tts,
        items,
        load_reward(name, str(model), items, device),
        args.output,
        replace(
            tts.default_options,
            **given(args, "cfg", "temperature", "draws"),  # type: ignore[arg-type]
        ),
        settings,
        args.codec,
    )
    print(f"reward: {name}; {report}")
    print(f"best readings in {args.output}")
