"""The flags of a run are written beside its weights."""

import json

import pytest

from tests.training.runs import fit


@pytest.fixture(scope="module")
def run_folder(corpus, tmp_path_factory):
    output = tmp_path_factory.mktemp("run")
    return fit(corpus, output, max_steps=2, save_strategy="steps", save_steps=1, training_cfg=0.2)


@pytest.mark.parametrize("folder", [".", "checkpoint-1", "checkpoint-2"])
def test_all_flags_of_a_run_lie_beside_its_weights(folder, run_folder, corpus):
    assert (run_folder / folder / "model.safetensors").is_file()
    flags = json.loads((run_folder / folder / "training_flags.json").read_text())
    assert flags["model"]["training_cfg"] == 0.2
    assert flags["data"]["train_manifest"] == [str(corpus / "cached")]
    assert flags["training"]["max_steps"] == 2
    # Those that were not given are there with their defaults.
    assert flags["model"]["hidden_size"] == 32
    assert flags["model"]["dropout"] == 0.1
    assert flags["training"]["weight_decay"] == 0.0


def test_a_run_that_is_continued_tells_its_present_flags(run_folder, corpus):
    saving = {"save_strategy": "steps", "save_steps": 1}
    fit(corpus, run_folder, max_steps=3, **saving, training_cfg=0.2, logging_steps=2)
    steps = {
        folder: json.loads((run_folder / folder / "training_flags.json").read_text())["training"]
        for folder in (".", "checkpoint-2", "checkpoint-3")
    }
    assert [steps[folder]["max_steps"] for folder in steps] == [3, 2, 3]
