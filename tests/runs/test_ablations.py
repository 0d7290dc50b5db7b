"""The ablations: every command has its flags, seeds and variants differ, and results are pooled."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from sled.cli.main import build_parser
from sled.evaluation.pooled import (
    Counts,
    count_variants,
    draw_variants,
    merge_counts,
    pool_variants,
    pooled_table,
    read_counts,
    write_report,
)
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
        assert args.head in HEADS and args.seed == int(seed) and args.training_minutes == 6
        Objective(score=args.score or "energy", score_samples=args.score_samples or 2)
        Config.from_dict({"stream_n": args.stream_n, "stream_m": args.stream_m})
    judged = [one for one in commands if one[0] == "evaluate"]
    assert len(judged) == 36 + 3 * 3
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


def counts(variant: str, errors: list[list[int]]) -> Counts:
    """Results of a variant, given as the errors of each text, of ten words, by seed."""
    texts = [str(number) for number in range(len(errors[0]))]
    words = [[10] * len(texts)] * len(errors)
    seeds = [str(seed) for seed in range(len(errors))]
    return Counts(
        variant,
        "offline",
        seeds,
        [70] * len(errors),
        [1.5] * len(errors),
        [0.5] * len(errors),
        texts,
        errors,
        words,
    )


GOOD = counts("energy-2", [[0, 1, 0, 2] * 10, [1, 1, 0, 0] * 10])
BAD = counts("no-repulsion", [[4, 5, 3, 6] * 10, [5, 5, 5, 5] * 10])


def test_seeds_of_training_are_pooled_and_variants_compared() -> None:
    fair = counts("gaussian", [[2] * 40] * 2)
    first, second, third = pool_variants([BAD, fair, GOOD], "energy-2")
    assert (first.name, first.compared, first.steps) == ("energy-2", None, 70)
    assert first.by_seed == pytest.approx((0.075, 0.05))
    assert first.error_rate.value == pytest.approx(0.0625)
    assert (second.name, third.name) == ("gaussian", "no-repulsion")
    assert third.compared is not None and third.compared.probability_lower == 0
    assert third.compared.low > 0.3 and third.error_rate.value == pytest.approx(0.475)
    table = pooled_table([first, third])
    assert "| no-repulsion | offline | 70 | 1.50 | 0.50 | 47.5% [" in table
    assert draw_variants([first, third]).count("<circle") == 2


def test_variants_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ValueError, match="other and energy-2 were judged on other texts"):
        pool_variants([GOOD, counts("other", [[1, 2]])], "energy-2")
    with pytest.raises(ValueError, match="no results of energy-2, offline"):
        pool_variants([BAD], "energy-2")


def test_a_variant_that_does_not_exist_is_not_trained(tmp_path: Path) -> None:
    (tmp_path / "commands.txt").touch()
    assert follow(tmp_path, VARIANTS="energy8", SEEDS="0") == []


def test_guidance_is_compared_where_its_model_is(tmp_path: Path) -> None:
    commands = follow(tmp_path, VARIANTS="drifting", SEEDS="0")
    assert [one[0] for one in commands] == ["train", "evaluate"]


def test_a_table_is_made_of_a_run_and_of_counts_of_others(tmp_path: Path) -> None:
    def table(run: Path, *others: Path) -> str:
        return write_report(run, others, "energy-2", lambda name, seed: 100 + int(seed))

    for one in (GOOD, BAD):
        for seed, errors in enumerate(one.errors):
            path = tmp_path / f"run{seed}" / "results" / one.variant / str(seed) / "results.json"
            path.parent.mkdir(parents=True)
            spoken = zip(one.texts, errors, strict=True)
            utterances = [{"id": text, "errors": wrong, "words": 10} for text, wrong in spoken]
            path.write_text(json.dumps({"systems": {"offline": {"utterances": utterances}}}))
            if one is GOOD:
                path.with_name("head.json").write_text('{"score": 1.5, "spread": 0.5}')
    (tmp_path / "both").mkdir()
    for run, steps, rate in (("run1", 101, "5.0%"), ("run0", 100, "7.5%")):
        assert f"| energy-2 | offline | {steps} | 1.50 | 0.50 | {rate} [" in table(tmp_path / run)
    parts = [tmp_path / run / "results.json" for run in ("run1", "run0")]
    assert "| energy-2 | offline | 100 | 1.50 | 0.50 | 6.2% [" in table(tmp_path / "both", *parts)
    counted = {one.variant: one for one in read_counts(tmp_path / "both" / "results.json")}
    assert counted["energy-2"] == replace(GOOD, steps=[100, 101])
    assert counted["no-repulsion"] == replace(
        BAD, steps=[100, 101], scores=[None, None], spreads=[None, None]
    )
    assert "6.2%" in table(tmp_path / "run0", parts[0])


def test_seeds_of_a_run_are_judged_alike(tmp_path: Path) -> None:
    for seed, mode, text in (("0", "offline", "a"), ("1", "offline", "b"), ("2", "stream", "a")):
        path = tmp_path / "energy-2" / seed / "results.json"
        path.parent.mkdir(parents=True)
        utterances = [{"id": text, "errors": 1, "words": 10}]
        path.write_text(json.dumps({"systems": {mode: {"utterances": utterances}}}))
    for other in ("1", "2"):
        with pytest.raises(ValueError, match="in other modes or on other texts"):
            count_variants(tmp_path, lambda name, seed: 0)
        (tmp_path / "energy-2" / other / "results.json").unlink()
    assert [one.texts for one in count_variants(tmp_path, lambda name, seed: 0)] == [["a"]]


def test_only_models_of_the_same_test_are_put_together() -> None:
    with pytest.raises(ValueError, match="energy-2, offline: seed 1 is there twice"):
        merge_counts([GOOD, BAD, replace(GOOD, seeds=["2", "1"])])
    other = replace(counts("energy-2", [[1, 2]]), seeds=["2"])
    with pytest.raises(ValueError, match="energy-2, offline: some were judged on other texts"):
        merge_counts([GOOD, other])
