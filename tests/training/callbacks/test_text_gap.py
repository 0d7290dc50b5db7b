"""The text gap: how much a model uses its text, as logged by evaluation."""

import json
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from lhotse import CutSet

from sled.data.manifests import load_cuts, save_cuts
from sled.model.batch import TrainingOutput
from sled.training.callbacks.text_gap import TextGap, with_other_endings
from tests.training.runs import fit, make_corpus


def output(score_loss: float, num_frames: int) -> TrainingOutput:
    return TrainingOutput(
        *(torch.tensor(score_loss) for _ in range(8)),
        [num_frames],
        num_frames,
        num_frames,
        torch.tensor(0),
    )


def test_each_text_ends_as_the_next_one_does_and_speech_stays():
    batch = {
        "input_ids": torch.tensor([[1, 11, 12, 2, 0], [1, 21, 22, 23, 2], [1, 31, 2, 0, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]),
        "num_frames": torch.tensor([7, 8, 9]),
    }
    other = with_other_endings(batch)
    assert other["input_ids"].tolist() == [[1, 11, 23, 2], [1, 21, 22, 2], [1, 31, 12, 2]]
    assert other["attention_mask"].tolist() == [[1] * 4] * 3
    assert other["num_frames"] is batch["num_frames"]


def test_a_batch_of_one_text_stays_as_it_is():
    ids = torch.tensor([[1, 5, 6, 7, 2]] * 2)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    assert with_other_endings(batch)["input_ids"].equal(ids)


def test_rises_are_averaged_over_frames_in_all_and_by_length():
    gap = TextGap()
    gap.add(output(5.0, 100), output(4.0, 100), longest_s=1.0)
    gap.add(output(7.0, 300), output(4.0, 300), longest_s=3.0)
    gap.add(output(4.0, 400), output(4.5, 400), longest_s=6.5)
    assert gap.metrics(Accelerator(cpu=True)) == pytest.approx(
        {"text_gap": 1.0, "text_gap_to_3s": 2.5, "text_gap_longer": -0.5}
    )


def test_without_batches_there_is_none():
    assert TextGap().metrics(Accelerator(cpu=True)) == {}


def evaluated(corpus: Path, output: Path, **changes: object) -> dict[str, float]:
    """What a short run logs of its evaluation."""
    evaluation = {"eval_manifest": corpus / "cuts.jsonl.gz", "eval_strategy": "steps"}
    fit(corpus, output, **evaluation, eval_steps=3, learning_rate=0.01, **changes)
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    (metrics,) = [entry for entry in history if "eval_loss" in entry]
    return metrics


@pytest.mark.parametrize("layout", [{}, {"stream_n": 2, "stream_m": 5}])
def test_evaluation_tells_texts_apart_only_if_they_differ(layout, tmp_path):
    """With one text for all samples and the same noise, the losses are bit-equal."""
    corpus = make_corpus(tmp_path)
    assert evaluated(corpus, tmp_path / "different", **layout)["eval_text_gap"] != 0
    cuts = list(load_cuts(corpus / "cuts.jsonl.gz"))
    for cut in cuts:
        cut.supervisions[0].text = "one"
    save_cuts(CutSet.from_cuts(cuts), corpus / "cuts.jsonl.gz")
    metrics = evaluated(corpus, tmp_path / "same", **layout)
    assert metrics["eval_text_gap"] == metrics["eval_text_gap_to_3s"] == 0


def test_a_single_sample_has_no_other_text(tmp_path):
    metrics = evaluated(make_corpus(tmp_path), tmp_path / "alone", per_device_eval_batch_size=1)
    assert not [name for name in metrics if "gap" in name]
