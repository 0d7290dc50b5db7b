"""Conditions of a sample, such as a speaker embedding: from a cut's custom field to the batch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lhotse import CutSet, NumpyFilesWriter
from lhotse.cut import Cut

from sled.data.cache.codes import cache_codes, load_cached
from sled.data.dataset import SpeechDataset, collate
from sled.data.manifests import load_cuts, save_cuts
from tests.debug import debug_codec, debug_cut, debug_tokenizer

WIDTHS = {"speaker": 3, "pitch": 1}


def dataset(**settings: Any) -> SpeechDataset:
    return SpeechDataset(debug_tokenizer(), debug_codec(), conditions=WIDTHS, **settings)


def make_cut(folder: Path, name: str, conditions: dict[str, Any]) -> Cut:
    cut = debug_cut(folder / f"{name}.wav", 0.2, "four two", speaker="a")
    cut.custom = {"conditions": conditions}
    return cut


def test_conditions_go_from_the_manifest_through_cached_codes_to_the_batch(tmp_path: Path) -> None:
    values = [{"speaker": [1.0, 2.0, n], "pitch": [0.5]} for n in (3.0, 4.0)]
    cuts = [make_cut(tmp_path, str(n), value) for n, value in enumerate(values)]
    save_cuts(CutSet.from_cuts(cuts), tmp_path / "cuts.jsonl.gz")
    manifest = load_cuts(tmp_path / "cuts.jsonl.gz")
    cache_codes(manifest, debug_codec(), tmp_path / "cached")
    for corpus in (manifest, load_cached(tmp_path / "cached")):
        batch = collate(dataset().__getitems__(list(corpus)))
        assert batch["conditions"]["speaker"].tolist() == [[1, 2, 3], [1, 2, 4]]
        assert batch["conditions"]["pitch"].tolist() == [[0.5], [0.5]]


def test_arrays_in_memory_and_on_disk_are_read(tmp_path: Path) -> None:
    speaker = np.arange(3, dtype=np.float32)
    with NumpyFilesWriter(tmp_path / "arrays") as writer:
        stored = writer.store_array("speaker", speaker)
    cuts = [
        make_cut(tmp_path, name, {"speaker": value, "pitch": np.zeros(1)})
        for name, value in (("memory", speaker), ("disk", stored))
    ]
    for cut in cuts:
        assert dataset()[cut]["conditions"]["speaker"].equal(torch.tensor([0.0, 1.0, 2.0]))


def test_a_joined_sample_has_the_conditions_of_its_first_cut(tmp_path: Path) -> None:
    cuts = [make_cut(tmp_path, str(n), {"speaker": [n, n, n], "pitch": [0]}) for n in (1.0, 2.0)]
    [sample] = dataset(join_share=1.0).__getitems__(cuts)
    assert sample["conditions"]["speaker"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("conditions", "problem"),
    [
        ({"speaker": [0, 0, 0]}, "cut bad lacks the condition pitch: put"),
        ({"speaker": [0, 0], "pitch": [0]}, r"cut bad: its condition speaker has shape \[2\]"),
    ],
)
def test_a_cut_without_the_conditions_of_the_model_is_refused(
    conditions: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=problem):
        dataset()[make_cut(tmp_path, "bad", conditions)]


def test_a_model_without_conditions_ignores_them(tmp_path: Path) -> None:
    cut = make_cut(tmp_path, "one", {"speaker": [0, 0, 0]})
    sample = SpeechDataset(debug_tokenizer(), debug_codec())[cut]
    assert "conditions" not in sample
    assert "conditions" not in collate([sample])
