"""Tables of tokens and vectors: written as published, read in every published form."""

import numpy as np
import pytest
import torch

from sled.data.tokens.tables import read_tokens, read_vectors, write_table
from tests.debug import GOLDENS

TOY = GOLDENS / "token-data" / "data" / "toy"


def test_published_tables_are_read_and_written_alike(tmp_path):
    for name, read in (
        ("utt2embedding.pt", read_vectors),
        ("spk2embedding.pt", read_vectors),
        ("utt2speech_token.pt", read_tokens),
    ):
        write_table(tmp_path / name, read(TOY / name))
        theirs = torch.load(TOY / name, weights_only=True)
        assert torch.load(tmp_path / name, weights_only=True) == theirs


@pytest.mark.parametrize(
    "row",
    [
        [1, 2, 3],
        torch.tensor([1, 2, 3]),
        torch.tensor([[1, 2, 3]], dtype=torch.int32),
        {"vq0206": [1, 2, 3], "vq02": [1], "vq06": [2]},
    ],
)
def test_tokens_of_other_tools_are_read(row, tmp_path):
    torch.save({"utt": row}, tmp_path / "tokens.pt")
    read = read_tokens(tmp_path / "tokens.pt")["utt"]
    assert read.tolist() == [1, 2, 3] and read.dtype == np.int64


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ([1, 2], "holds a list"),
        ({"utt": "text"}, "utt is no row"),
        ({"utt": [1.5]}, "utt is no row"),
        ({"utt": {"vq06": [1]}}, "utt is no row"),
    ],
)
def test_what_is_no_table_of_tokens_is_refused(content, word, tmp_path):
    torch.save(content, tmp_path / "tokens.pt")
    with pytest.raises(ValueError, match=word):
        read_tokens(tmp_path / "tokens.pt")


def test_what_is_no_table_of_vectors_is_refused(tmp_path):
    path = tmp_path / "vectors.pt"
    with pytest.raises(ValueError, match="no table at"):
        read_vectors(path)
    path.write_bytes(b"no pickle")
    with pytest.raises(ValueError, match="no table of plain data"):
        read_vectors(path)
    torch.save({"a": [1.0, 2.0], "b": [1.0]}, path)
    with pytest.raises(ValueError, match="different widths, 2 of a and 1 of b"):
        read_vectors(path)
    torch.save({"a": [float("nan")]}, path)
    with pytest.raises(ValueError, match="a is no row"):
        read_vectors(path)
