"""Manifests are read line by line, and parsed only where needed."""

import gzip
from itertools import islice
from pathlib import Path
from unittest.mock import patch

import pytest
from lhotse import CutSet, MonoCut, SupervisionSegment

from sled.data.manifests import Manifest, cuts_of_groups, fingerprint, load_cuts, save_cuts


def make_cuts(count: int) -> CutSet:
    return CutSet.from_cuts(
        MonoCut(f"cut-{i}", 0, 1, 0, [SupervisionSegment(f"{i}", f"{i}", 0, 1, text=f"text {i}")])
        for i in range(count)
    )


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Seven cuts."""
    save_cuts(make_cuts(7), tmp_path / "cuts.jsonl")
    return tmp_path / "cuts.jsonl"


def test_a_broken_line_is_named_when_it_is_reached(manifest: Path) -> None:
    lines = manifest.read_text().splitlines()
    lines[3] = '{"id": "broken'
    manifest.write_text("\n".join(lines))
    cuts = load_cuts(manifest)
    assert [cut.id for cut in islice(cuts, 3)] == ["cut-0", "cut-1", "cut-2"]
    with pytest.raises(ValueError, match='cuts.jsonl.*"broken'):
        list(cuts)


def test_a_file_that_ends_too_early_is_named(manifest: Path) -> None:
    path = manifest.with_suffix(".jsonl.gz")
    path.write_bytes(gzip.compress(manifest.read_bytes())[:-10])
    with pytest.raises(ValueError, match="cuts.jsonl.gz cannot be read"):
        list(load_cuts(path))


def test_neither_blank_lines_nor_a_missing_newline_change_anything(manifest: Path) -> None:
    cuts, counted = list(load_cuts(manifest)), fingerprint(load_cuts(manifest))
    manifest.write_text("\n" + manifest.read_text().replace("\n", "\n\n").rstrip())
    assert list(load_cuts(manifest)) == cuts
    assert len(load_cuts(manifest)) == 7
    assert fingerprint(load_cuts(manifest)) == counted


@pytest.mark.parametrize("lazily", [True, False])
def test_a_fingerprint_counts_and_tells_apart_texts_and_order(lazily: bool, tmp_path: Path) -> None:
    def of(cuts: CutSet) -> tuple[int, str]:
        if lazily:
            save_cuts(cuts, tmp_path / "cuts.jsonl")
            cuts = load_cuts(tmp_path / "cuts.jsonl")
        return fingerprint(cuts)

    cuts = make_cuts(3)
    changed = make_cuts(3)
    changed[1].supervisions[0].text = "another"
    turned = CutSet.from_cuts(reversed(list(cuts)))
    assert of(cuts) == of(make_cuts(3))
    assert of(cuts)[0] == 3
    assert len({of(cuts), of(changed), of(turned), of(make_cuts(4))}) == 4


@pytest.mark.parametrize("wanted", [[], [0], [1, 3], [0, 1, 2, 3], [9]])
def test_groups_are_those_of_all_cuts(wanted: list[int], manifest: Path) -> None:
    """Groups of two: 0 1, 2 3, 4 5, 6."""
    expected = [(i // 2, f"cut-{i}") for i in range(7) if i // 2 in wanted]
    for cuts in (load_cuts(manifest), make_cuts(7)):
        assert [(group, cut.id) for group, cut in cuts_of_groups(cuts, 2, wanted)] == expected


def test_the_file_is_read_once_and_only_wanted_cuts_are_parsed(manifest: Path) -> None:
    cuts = load_cuts(manifest)
    with (
        patch.object(Manifest, "lines", autospec=True, side_effect=Manifest.lines) as lines,
        patch.object(Manifest, "parse", autospec=True, side_effect=Manifest.parse) as parse,
    ):
        assert len(list(cuts_of_groups(cuts, 2, [2]))) == 2
    assert (lines.call_count, parse.call_count) == (1, 2)
