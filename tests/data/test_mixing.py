"""Several corpora are mixed, each completely."""

from pathlib import Path

import pytest
from lhotse import CutSet

from sled.data.dataset import open_corpus
from sled.data.manifests import save_cuts
from tests.debug import debug_cut

SIZES = {"small": 40, "large": 120}


@pytest.fixture
def manifests(tmp_path: Path) -> list[Path]:
    """Two corpora; the ids of their cuts have their names."""
    cut, paths = debug_cut(tmp_path / "a.wav", 0.1, "one"), []
    for name, size in SIZES.items():
        cuts = [cut.with_id(f"{name}-{n}") for n in range(size)]
        save_cuts(CutSet.from_cuts(cuts), path := tmp_path / f"{name}.jsonl.gz")
        paths.append(path)
    return paths


def names(manifests: list[Path], **settings: object) -> list[str]:
    return [cut.id for cut in open_corpus(manifests, **settings)]


def test_every_cut_comes_once(manifests: list[Path]) -> None:
    assert sorted(names(manifests, shuffle_seed=3)) == sorted(names(manifests))


def test_shuffled_each_corpus_has_its_share_all_the_way(manifests: list[Path]) -> None:
    order = names(manifests, shuffle_seed=3)
    for quarter in (order[:40], order[40:80], order[80:120]):
        assert 3 <= sum(name.startswith("small") for name in quarter) <= 20


def test_the_seed_decides_the_mixture(manifests: list[Path]) -> None:
    assert names(manifests, shuffle_seed=3) == names(manifests, shuffle_seed=3)
    assert names(manifests, shuffle_seed=3) != names(manifests, shuffle_seed=4)
