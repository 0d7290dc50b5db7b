"""Moves in chess."""

import pytest

from sled.normalization import normalize


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Nf3, Bxc6", "knight f three, bishop takes c six"),
        ("Qxd5+, O-O", "queen takes d five check, castles kingside"),
        ("O-O-O, Rxd4!? wins", "castles queenside, rook takes d four wins"),
    ],
)
def test_moves_are_said(written, said):
    assert normalize(written, "english") == said
