"""Training with a codec that has a token channel."""

from pathlib import Path

import pytest
import torch

from sled.codec import CodecParts, TokenChannel
from sled.training.units import drop_leading_tokens
from tests.debug import GOLDENS, debug_tokenizer
from tests.training.runs import PLAIN, align_evenly, fit, logged, make_corpus, weights


def codec_with_channel(folder: Path) -> None:
    """Write the debug codec with a token channel for the debug tokenizer."""
    channel = TokenChannel.random(debug_tokenizer().vocab_size, width=6, norm=3.0)
    CodecParts.load(GOLDENS / "codec").with_transforms(channel).save(folder)


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus of the other tests with times of words, and a codec with a token channel."""
    folder = make_corpus(tmp_path_factory.mktemp("aligned"))
    align_evenly(folder / "cuts.jsonl.gz", folder / "aligned.jsonl.gz")
    codec_with_channel(folder / "codec")
    return folder


def fit_with_channel(corpus: Path, output: Path, **changes: object) -> Path:
    manifest = corpus / "aligned.jsonl.gz"
    settings = {"train_manifest": manifest, "codec": corpus / "codec", **PLAIN}
    return fit(corpus, output, **(settings | changes))


def test_with_a_codec_of_other_units_only_the_layers_that_see_units_begin_anew(aligned, tmp_path):
    """So a model that can read moves to another codec. The rate of units must be the same."""
    old = fit(aligned, tmp_path / "old", codec=GOLDENS / "codec", max_steps=1)
    new = fit_with_channel(
        aligned, tmp_path / "new", finetune_path=old, max_steps=1, learning_rate=0.0
    )
    before, after = weights(old), weights(new)
    changed = {name for name in before if not before[name].equal(after[name])}
    read, drawn = "z_proj.weight", "scoreloss.net.final_layer.linear"
    assert changed == {read, f"{drawn}.weight", f"{drawn}.bias"}
    assert after[read].shape[1] == before[read].shape[1] + 6


def test_the_channel_is_learned_with_the_rest(aligned, tmp_path):
    """The latents, and so the output of the model, are wider; evaluation works too."""
    evaluation = {"eval_manifest": aligned / "aligned.jsonl.gz", "eval_strategy": "steps"}
    settings = {"max_steps": 30, "learning_rate": 0.02, "history_noise": 0.5, **evaluation}
    run = fit_with_channel(aligned, tmp_path / "run", eval_steps=15, **settings)
    losses = logged(run, "score_loss")
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    assert len(logged(run, "eval_score_loss")) == 2


def test_what_is_forgotten_is_asked_for_all_the_same(aligned, tmp_path):
    """Dropout changes the input and not the target.

    A new head outputs 0 for any input, so the first loss depends only on the target, and the
    learned weights on the input.
    """
    runs = [
        fit_with_channel(aligned, tmp_path / str(share), token_channel_dropout=share, max_steps=6)
        for share in (0.0, 1.0)
    ]
    first, forgetful = (logged(run, "score_loss")[0] for run in runs)
    assert first == pytest.approx(forgetful, rel=1e-6)
    name = "z_proj.weight"
    assert not weights(runs[0])[name].equal(weights(runs[1])[name])


def test_beginnings_are_forgotten_and_nothing_else():
    torch.manual_seed(0)
    tokens = torch.arange(4, 24).expand(1000, 20)
    num_frames = torch.full((1000,), 20)
    known = drop_leading_tokens(tokens, num_frames, 0.25) >= 0
    assert (known.diff(dim=1).int() >= 0).all()  # once known, always known
    assert 0.2 < (~known[:, 0]).float().mean() < 0.3
    assert drop_leading_tokens(tokens, num_frames, 0.0).equal(tokens)


def test_a_corpus_without_word_times_is_refused(aligned, tmp_path):
    """A new model is trained without the channel; a checkpoint cannot do without."""
    old = fit_with_channel(aligned, tmp_path / "old", max_steps=1)
    for changes in (
        {"train_manifest": aligned / "cuts.jsonl.gz", "finetune_path": old},
        {"train_manifest": aligned / "cuts.jsonl.gz", "alignment_weight": 1.0},
        {"eval_manifest": aligned / "cuts.jsonl.gz", "eval_strategy": "steps"},
    ):
        with pytest.raises(ValueError, match="prepare them with sled align"):
            fit_with_channel(aligned, tmp_path / "run", **changes)


def test_a_channel_for_another_tokenizer_is_refused(aligned, tmp_path):
    vocab_size = debug_tokenizer().vocab_size
    channel = TokenChannel.random(vocab_size - 1, width=6, norm=3.0)
    CodecParts.load(GOLDENS / "codec").with_transforms(channel).save(tmp_path / "codec")
    old = fit_with_channel(aligned, tmp_path / "old", max_steps=1)
    with pytest.raises(ValueError, match=f"a channel for {vocab_size - 1} tokens"):
        fit_with_channel(aligned, tmp_path / "run", codec=tmp_path / "codec", finetune_path=old)


def test_a_share_is_one(aligned, tmp_path):
    with pytest.raises(ValueError, match="--token_channel_dropout 2"):
        fit_with_channel(aligned, tmp_path / "run", token_channel_dropout=2)
