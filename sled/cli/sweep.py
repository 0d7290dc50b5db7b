"""Find the guidance, noise and number of draws with which a model speaks best.

Each combination speaks the texts; the best has the fewest wrong words, or with --dnsmos the highest
rating among those that are not worse by words with certainty. The texts should be others than those
of results. The same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse

from sled.cli.evaluation_flags import (
    add_judge_flags,
    add_seed_flags,
    add_test_flags,
    check_counts,
)
from sled.cli.flags import (
    add_model_flags,
    add_output_flag,
    add_stop_threshold_flag,
    add_track_text_flag,
)
from sled.evaluation.modes import SPEAKING_MODES

EXAMPLE = "sled sweep --model model --temperature 0.3 0.6 0.9 --draws 1 8 -o sweep"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled sweep`."""
    tried = parser.add_argument_group("what is tried; all combinations")
    tried.add_argument("--cfg", type=float, nargs="+", help="guidance scales")
    tried.add_argument("--temperature", type=float, nargs="+", help="scales of the noise")
    tried.add_argument("--draws", type=int, nargs="+", help="numbers of draws")
    tried.add_argument(
        "--mode", choices=SPEAKING_MODES, default="offline", help="how it speaks (%(default)s)"
    )
    add_test_flags(parser.add_argument_group("texts"), "sweep")
    add_model_flags(parser)
    decoding = parser.add_argument_group("decoding")
    add_stop_threshold_flag(decoding)
    add_track_text_flag(decoding)
    add_seed_flags(decoding)
    add_judge_flags(parser)
    output = parser.add_argument_group("output")
    add_output_flag(output, "folder of the run; it also gets sweep.svg")
    output.add_argument(
        "--write",
        action="store_true",
        help="write the best setting into the configuration of --model, a folder",
    )


def run(args: argparse.Namespace) -> None:
    """Try all combinations, report, and name the best.

    Raises:
        ValueError: For flags that cannot be followed.
    """
    check_counts(args)
    from sled.cli.evaluating import open_test
    from sled.evaluation.report import write_report
    from sled.evaluation.results import collect
    from sled.evaluation.sweep import best_setting, combinations, draw_sweep, write_setting

    tried = combinations(cfg=args.cfg, temperature=args.temperature, draws=args.draws)
    test = open_test(args, {}, [args.mode])
    for name, changes in tried.items():
        test.run.add(test.models.system(args.mode, name, changes))
    results = collect(test.run)
    print(write_report(results, args.output))
    (args.output / "sweep.svg").write_text(draw_sweep(results, tried), encoding="utf-8")
    best = best_setting(results)
    print(f"best: {best}")
    if args.write:
        write_setting(args.model, tried[best])
        print(f"written into {args.model}")
