"""Training with conditions beyond text and prompt, such as a speaker embedding."""

from pathlib import Path

import pytest
from lhotse import CutSet

from sled.data.manifests import load_cuts, save_cuts
from sled.model.config import Config
from tests.training.runs import PLAIN, fit, logged, weights


def with_speakers(manifest: Path, output: Path, values: list[list[float]]) -> Path:
    """Write the same cuts; each has the next of some speaker embeddings, in turn."""
    cuts = []
    for index, cut in enumerate(load_cuts(manifest)):
        cut.custom = {"conditions": {"speaker": values[index % len(values)]}}
        cuts.append(cut.with_recording_path_prefix(manifest.parent))
    save_cuts(CutSet.from_cuts(cuts), output)
    return output


def test_a_condition_is_trained_evaluated_and_inherited(corpus: Path, tmp_path: Path) -> None:
    """The first loss of a new head is independent of its input, the weights after it are not."""
    manifests = [
        with_speakers(corpus / "cuts.jsonl.gz", tmp_path / f"{name}.jsonl.gz", [value])
        for name, value in (("one", [1.0, 0.0]), ("other", [0.0, 1.0]))
    ]
    settings = {"eval_strategy": "steps", "eval_steps": 3, **PLAIN}
    first, second = (
        fit(
            corpus,
            tmp_path / manifest.name.split(".")[0],
            train_manifest=manifest,
            eval_manifest=manifest,
            conditions="speaker:2",
            **settings,
        )
        for manifest in manifests
    )
    assert logged(first, "score_loss")[0] == pytest.approx(logged(second, "score_loss")[0])
    assert logged(first, "eval_score_loss")
    name = "condition_proj.speaker.weight"
    assert not weights(first)[name].equal(weights(second)[name])
    tuned = fit(
        corpus, tmp_path / "tuned", train_manifest=manifests[0], finetune_path=first, max_steps=1
    )
    assert Config.load(tuned).architecture.conditions == {"speaker": 2}


def test_a_corpus_without_the_condition_is_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lacks the condition speaker"):
        fit(corpus, tmp_path, conditions="speaker:2")


def test_conditions_of_a_checkpoint_cannot_change(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--conditions speaker:2: the checkpoint"):
        fit(corpus, tmp_path, conditions="speaker:2", finetune_path=tmp_path)
