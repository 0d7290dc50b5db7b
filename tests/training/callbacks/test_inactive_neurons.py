"""Evaluation logs inactive neurons of the head, and denormal numbers do not slow down training."""

import pytest
import torch
from accelerate import Accelerator

from sled.training.callbacks.inactive_neurons import InactiveNeurons
from sled.training.trainer import SledTrainer
from tests.debug import debug_model
from tests.training.runs import fit, logged, make_corpus


def test_units_that_are_off_at_every_frame_are_counted():
    head = debug_model().scoreloss
    width, blocks = head.architecture.diffloss_w, head.net.res_blocks
    hidden, noise = (
        torch.randn(5, head.architecture.hidden_size),
        torch.randn(5, head.architecture.noise_channels),
    )
    with torch.no_grad():
        blocks[0].mlp[0].bias[: width // 2] = -1e4
    with InactiveNeurons(head, torch.device("cpu")) as inactive:
        head.draw(hidden, noise)
    share = inactive.metrics(Accelerator(cpu=True))["inactive_neurons"]
    assert share == pytest.approx(width // 2 / (width * len(blocks)))
    head.draw(hidden, noise)  # not watched any more
    assert not any(block.mlp[1]._forward_pre_hooks for block in blocks)


def test_a_head_that_did_not_run_has_none():
    inactive = InactiveNeurons(debug_model().scoreloss, torch.device("cpu"))
    assert inactive.metrics(Accelerator(cpu=True)) == {}


def test_evaluation_logs_them(tmp_path):
    corpus = make_corpus(tmp_path)
    evaluation = {"eval_manifest": corpus / "cuts.jsonl.gz", "eval_strategy": "steps"}
    fit(corpus, tmp_path / "run", **evaluation, eval_steps=3)
    assert logged(tmp_path / "run", "eval_inactive_neurons") == [0.0]


def test_each_step_takes_the_smallest_numbers_for_zero(tmp_path, monkeypatch):
    """Even if libraries change the setting in between."""
    seen = []
    compute_loss = SledTrainer.compute_loss

    def watched(*args, **kwargs):
        seen.append((torch.tensor([1e-40]) * 1).item())
        torch.set_flush_denormal(False)
        return compute_loss(*args, **kwargs)

    if not torch.set_flush_denormal(False):
        pytest.skip("this processor cannot")
    monkeypatch.setattr(SledTrainer, "compute_loss", watched)
    fit(make_corpus(tmp_path), tmp_path / "run", max_steps=2)
    assert seen == [0.0, 0.0]


def test_other_computations_keep_the_smallest_numbers(tmp_path):
    fit(make_corpus(tmp_path), tmp_path / "run", max_steps=1)
    assert (torch.tensor([1e-40]) * 1).item() > 0
