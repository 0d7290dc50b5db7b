"""A run that is killed, at any moment, gives the results of one that is not."""

import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sled.evaluation.items import Item
from sled.evaluation.journal import Journal
from sled.evaluation.judges.base import Heard, Judge
from sled.evaluation.judges.timing import TimingJudge
from sled.evaluation.protocol import Protocol, read_items
from sled.evaluation.results import Results, collect
from sled.evaluation.run import Run, RunSettings
from sled.evaluation.systems import System, Utterance

pytest.importorskip("jiwer")
RATE = 8_000
TEXTS = {
    "a": ["one two", "</script><b>three</b>"],
    "b": ["four five six", "seven eight nine", "ten"],
}


class Noise(System):
    """Noise of its seed, as long as the text."""

    def __init__(self, before: Callable[[], None] = lambda: None, name: str = "noise") -> None:
        self._before, self.name = before, name

    def settings(self) -> dict[str, Any]:
        return {"kind": "noise"}

    def speak(self, items: Sequence[Item], seeds: Sequence[int]) -> list[Utterance]:
        self._before()
        return [
            Utterance(0.1 * np.random.default_rng(seed).normal(size=400 * len(item.text)), RATE)
            for item, seed in zip(items, seeds, strict=True)
        ]


class Listener(Judge):
    """Hears the first words, more of them the louder the last sample is."""

    name = "words"
    version = "1"

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self._before = before

    def judge(self, heard: Sequence[Heard]) -> list[dict[str, Any]]:
        self._before()
        said = [one.item.text.split() for one in heard]
        kept = [1 + int(30 * abs(float(one.audio[-1]))) for one in heard]
        return [{"heard": " ".join(words[:n])} for words, n in zip(said, kept, strict=True)]


def open_run(
    folder: Path,
    speaking: Callable[[], None] = lambda: None,
    judging: Callable[[], None] = lambda: None,
    names: Sequence[str] = ("noise",),
) -> Run:
    """A run in which systems of these names have spoken."""
    protocol = Protocol("test", {"texts": TEXTS}, normaliser="english")
    judges = [Listener(judging), TimingJudge()]
    run = Run(folder, protocol, read_items(protocol, folder), judges, RunSettings(2, 7, 2))
    for name in names:
        run.add(Noise(speaking, name))
    return run


def evaluate(folder: Path, *before: Callable[[], None]) -> Results:
    """The results without how long it took."""
    results = collect(open_run(folder, *before))
    del results["judging"]
    return results


def killed_at(folder: Path, speaking: int | None, judging: int | None) -> None:
    """Run in another process, which kills itself before it speaks or judges a certain time."""

    def after(count: int | None) -> Callable[[], None]:
        calls = iter(range(1_000))
        return lambda: os.kill(os.getpid(), signal.SIGKILL) if next(calls) == count else None

    child = os.fork()
    if not child:
        try:
            evaluate(folder, after(speaking), after(judging))
        finally:
            os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return evaluate(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("kill", [(0, None), (4, None), (None, 0), (None, 1)])
def test_a_killed_run_goes_on_and_ends_the_same(
    kill: tuple[int | None, int | None], whole: Results, tmp_path: Path
) -> None:
    killed_at(tmp_path, *kill)
    spoken: list[None] = []
    assert evaluate(tmp_path, lambda: spoken.append(None)) == whole
    # Six batches of two texts; those of the first process are not spoken again.
    assert len(spoken) == 6 - (kill[0] if kill[0] is not None else 6)
    figures = whole["systems"]["noise"]["figures"]["error_rate"]
    assert 0 < figures["value"] < 1 and len(figures["by_repetition"]) == 2


def test_nothing_is_done_twice(whole: Results, tmp_path: Path) -> None:
    def never() -> None:
        raise AssertionError("again")

    assert evaluate(tmp_path) == evaluate(tmp_path, never, never) == whole


def test_a_line_that_was_cut_off_is_written_again(whole: Results, tmp_path: Path) -> None:
    evaluate(tmp_path)
    for name in ("speech.jsonl", "judgements.jsonl"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])
    assert evaluate(tmp_path) == whole


def test_a_system_that_has_not_spoken_all_is_left_out_and_may_be_mended(tmp_path: Path) -> None:
    evaluate(tmp_path)
    run = open_run(tmp_path)

    class Broken(Noise):
        def settings(self) -> dict[str, Any]:
            return {"kind": "misspelt"}

        def speak(self, items: Sequence[Item], seeds: Sequence[int]) -> list[Utterance]:
            raise ValueError("no such command")

    with pytest.raises(ValueError, match="no such command"):
        run.add(Broken(name="other"))
    assert list(collect(open_run(tmp_path))["systems"]) == ["noise"]
    assert list(collect(open_run(tmp_path, names=("noise", "other")))["systems"]) == [
        "noise",
        "other",
    ]


@pytest.mark.parametrize("kinds", [("2-5 words", "1st"), ("10 digits", "2 digits")])
def test_classes_may_begin_with_numbers(kinds: tuple[str, str], tmp_path: Path) -> None:
    texts = {kinds[0]: ["one two"], kinds[1]: ["three"]}
    protocol = Protocol("test", {"texts": texts}, normaliser="english")
    run = Run(
        tmp_path, protocol, read_items(protocol, tmp_path), [Listener()], RunSettings(1, 7, 2)
    )
    run.add(Noise())
    expected = sorted(kinds, key=len) if kinds[0][0] == "1" else list(kinds)
    assert list(collect(run)["systems"]["noise"]["by_kind"]) == expected


def test_a_journal_refuses_a_broken_line_in_its_middle(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    journal = Journal(path, ("id",))
    journal.append([{"id": 1, "x": "a"}, {"id": 2, "x": "b"}])
    journal.append([{"id": 1, "x": "c"}])
    assert [one["x"] for one in Journal(path, ("id",))] == ["c", "b"]
    path.write_text('{"id": 1}\n{"id"\n{"id": 3}\n')
    with pytest.raises(ValueError, match="line 2 is broken"):
        Journal(path, ("id",))


def test_what_was_compared_is_written_down(whole: Results, tmp_path: Path) -> None:
    evaluate(tmp_path)
    made = json.loads((tmp_path / "run.json").read_text())
    assert made["digest"] == whole["protocol"]["digest"]
    assert made["systems"] == {"noise": {"kind": "noise", "repetitions": 2}}
    assert made["judges"] == ["words: 1", "timing: 1"]
