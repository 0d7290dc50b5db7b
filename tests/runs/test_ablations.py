"""The ablations: every command has its flags, seeds and variants differ, and results are pooled."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from sled.cli.main import build_parser
from sled.evaluation.pooled import draw_variants, pool_variants, pooled_table
from sled.model.config import Config, Objective
from sled.model.heads import HEADS
from sled.training.arguments import make_parser
from tests.commands import ROOT

RECORDER = """#!/bin/bash
case $1 in *.py) exit 0 ;; esac
printf '%s\\037' "$@" >>{log}
echo >>{log}
[ -z "${{FAIL_AT:-}}" ] || [ $(wc -l <{log}) -lt "$FAIL_AT" ]
"""


def follow(folder: Path, **settings: str) -> list[list[str]]:
    """Run the recipe with a stand-in for Python; returns the commands it wanted to be run."""
    log, recorder = folder / "commands.txt", folder / "python"
    recorder.write_text(RECORDER.format(log=log))
    recorder.chmod(0o755)
    own = {"PYTHON": str(recorder), "RUN": str(folder / "out"), **settings}
    recipe = ROOT / "runs" / "ablations" / "run.sh"
    subprocess.run(["bash", recipe], env=os.environ | own, capture_output=True)
    return [line.split("\037")[2:-1] for line in log.read_text().splitlines()]


def test_variants_are_trained_and_judged_with_flags_that_exist(tmp_path: Path) -> None:
    commands = follow(tmp_path)
    trained = [make_parser().parse_args(one[1:]) for one in commands if one[0] == "train"]
    names = [Path(args.output_dir).name.rsplit("-", 1) for args in trained]
    assert {seed for _, seed in names} == {"0", "1", "2"}
    variants = {name for name, _ in names}
    assert len(variants) == 12 and len(trained) == 36
    for args, (_, seed) in zip(trained, names, strict=True):
        assert args.head in HEADS and args.seed == int(seed) and args.training_minutes == 20
        Objective(score=args.score or "energy", score_samples=args.score_samples or 2)
        Config.from_dict({"stream_n": args.stream_n, "stream_m": args.stream_m})
    judged = [one for one in commands if one[0] == "evaluate"]
    assert len(judged) == 36 + 3 * 4
    for one in judged:
        build_parser("evaluate").parse_args(one)


def test_a_recipe_that_was_stopped_goes_on(tmp_path: Path) -> None:
    settings = {"VARIANTS": "energy-2 drifting", "SEEDS": "0", "GUIDANCE": "2"}
    stopped = follow(tmp_path, **settings, FAIL_AT="3")
    assert [one[0] for one in stopped] == ["train", "evaluate", "train"]
    (tmp_path / "commands.txt").unlink()
    rest = follow(tmp_path, **settings)
    assert [one[0] for one in rest] == ["train", "evaluate", "evaluate"]


def test_variants_are_equal_in_time_or_in_steps(tmp_path: Path) -> None:
    settings = {"VARIANTS": "energy-2", "SEEDS": "0", "GUIDANCE": "2"}
    train, *_ = follow(tmp_path, **settings, EQUAL="steps", STEPS="70")
    args = make_parser().parse_args(train[1:])
    assert (args.max_steps, args.training_minutes) == (70, None)
    (tmp_path / "commands.txt").write_text("")
    for other in ({"EQUAL": "steps", "STEPS": "80"}, {"EQUAL": "time"}, {"EQUAL": "luck"}):
        assert follow(tmp_path, **settings, **other) == []  # refused in the same folder


def write_results(folder: Path, errors: dict[str, list[list[int]]]) -> None:
    """Results of variants, given as the errors of each text, of ten words, by seed."""
    for name, seeds in errors.items():
        for seed, each in enumerate(seeds):
            path = folder / name / str(seed) / "results.json"
            path.parent.mkdir(parents=True)
            utterances = [{"id": str(n), "errors": e, "words": 10} for n, e in enumerate(each)]
            path.write_text(json.dumps({"systems": {"offline": {"utterances": utterances}}}))


def test_seeds_of_training_are_pooled_and_variants_compared(tmp_path: Path) -> None:
    good, bad = [[0, 1, 0, 2] * 10, [1, 1, 0, 0] * 10], [[4, 5, 3, 6] * 10, [5, 5, 5, 5] * 10]
    write_results(tmp_path, {"no-repulsion": bad, "energy-2": good})
    first, second = pool_variants(tmp_path, "energy-2")
    assert (first.name, first.compared, first.seeds) == ("energy-2", None, 2)
    assert first.by_seed == pytest.approx((0.075, 0.05))
    assert first.error_rate.value == pytest.approx(0.0625)
    assert second.compared is not None and second.compared.probability_lower == 0
    assert second.compared.low > 0.3 and second.error_rate.value == pytest.approx(0.475)
    table = pooled_table([first, second])
    assert "| no-repulsion | offline | 47.5% [" in table
    assert draw_variants([first, second]).count("<circle") == 2
    write_results(tmp_path, {"other": [[1, 2]]})
    with pytest.raises(ValueError, match="other and energy-2 were judged on other texts"):
        pool_variants(tmp_path, "energy-2")
