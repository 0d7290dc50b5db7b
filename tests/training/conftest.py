"""Fixtures of the tests of training."""

from pathlib import Path

import pytest

from tests.training.runs import fit, make_corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `cuts.jsonl.gz`, the same `cached` as codes, and a `tokenizer`; read only."""
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def pretrained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps with the usual flags on the cached codes of the corpus; read only."""
    return fit(corpus, tmp_path_factory.mktemp("pretrained"))
