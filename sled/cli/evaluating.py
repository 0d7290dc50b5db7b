"""Opens the run of a command that evaluates, from its flags."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sled.cli.device import choose_device
from sled.cli.evaluation_flags import RECOMMENDED
from sled.decoding import DecodingOptions
from sled.evaluation.items import Clip
from sled.evaluation.judges import JudgeSettings, load_judges
from sled.evaluation.modes import DEFAULT_MODES
from sled.evaluation.protocol import load_protocol, manifest_protocol, read_items
from sled.evaluation.run import Run, RunSettings
from sled.evaluation.systems import Models
from sled.evaluation.systems.model import ModelSettings


@dataclass(frozen=True)
class Test:
    """A run that is open, and what can be added to it.

    Attributes:
        run: The run.
        models: Makes systems of modes.
        modes: The modes to compare, each once.
    """

    run: Run
    models: Models
    modes: Sequence[str]


def open_test(
    args: argparse.Namespace, decoding: Mapping[str, Any], modes: Sequence[str] | None
) -> Test:
    """Read the protocol, load the judges, and open the folder of the run.

    Args:
        args: Flags of `sled evaluate` or `sled sweep`.
        decoding: Values for `DecodingOptions` that were given.
        modes: Modes to compare. None: those of the protocol.

    Raises:
        ValueError: For flags that cannot be followed.
    """
    logging.getLogger("faster_whisper").setLevel(logging.WARNING)  # else a line per utterance
    device = choose_device(args.device)
    if args.manifest is not None:
        protocol, folder = manifest_protocol(args.manifest), Path()
        protocol = replace(protocol, modes=DEFAULT_MODES)
    else:
        protocol, folder = load_protocol(args.protocol)
    items = read_items(protocol, Path(args.data) if args.data else folder, args.limit)
    models = Models(
        ModelSettings(
            model=args.model,
            stream_model=getattr(args, "stream_model", None),
            codec=args.codec,
            device=device,
            dtype=args.dtype,
            options=DecodingOptions(
                stop_threshold=args.stop_threshold, track_text=args.track_text, **decoding
            ),
            recommended=tuple(name for name in RECOMMENDED if name not in decoding),
            characters_per_second=getattr(args, "characters_per_second", 20.0),
            voice=getattr(args, "voice", None),
        ),
        items,
    )
    chosen = list(dict.fromkeys(protocol.modes if modes is None else modes))

    def reconstruct(clip: Clip) -> tuple[np.ndarray, int]:
        heard = models.codec_system().reconstruct(clip)
        return heard.audio, heard.sample_rate

    judges = load_judges(
        _judge_settings(args, protocol.judges),
        items,
        device,
        reconstruct if any(mode != "teacher" for mode in chosen) else None,
    )
    settings = RunSettings(args.seeds or protocol.seeds, args.seed, args.batch_size)
    return Test(Run(args.output, protocol, items, judges, settings), models, chosen)


def _judge_settings(args: argparse.Namespace, of_protocol: Mapping[str, Any]) -> JudgeSettings:
    fields = {
        "words": args.whisper,
        "numerals": args.numerals or None,
        "similarity": args.speaker_encoder,
        "dnsmos": args.dnsmos,
        "utmos": args.utmos,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    settings = JudgeSettings(**given).with_protocol(of_protocol, list(given))
    return replace(settings, similarity=None) if settings.similarity == "none" else settings
