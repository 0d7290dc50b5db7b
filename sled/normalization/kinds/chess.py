"""Moves in chess.

Nf3, Bxc6  knight f three, bishop takes c six
Qd5+, Qf7# queen d five check, queen f seven mate
O-O, O-O-O castles kingside, castles queenside
Rxd4!?     rook takes d four
"""

from __future__ import annotations

from re import Match

from sled.normalization import numbers
from sled.normalization.rules import Rule, rule, spell, word_table


def _say_move(match: Match[str]) -> str:
    """A move in chess: Nf3, Bxc6."""
    square = match["square"]
    takes = " takes" if match["takes"] else ""
    said = f"{_PIECES[match['piece']]}{takes} {spell(square[0])}{numbers.cardinal(square[1])}"
    return said + {"+": " check", "#": " mate", "": ""}[match["ends"]]


def _say_castles(match: Match[str]) -> str:
    return "castles queenside" if match["long"] else "castles kingside"


_PIECES = word_table("K=king Q=queen R=rook B=bishop N=knight")


BEGINS = "O-O|[KQRBN]"
RULES: list[Rule] = [
    rule(
        r"(?<![\w.])(?P<piece>[KQRBN])(?P<takes>x?)(?P<square>[a-h][1-8])(?P<ends>[+#]?)(?![\w-])"
        r"(?:!\?|\?!|!!|\?\?)?",
        _say_move,
    ),
    rule(r"(?<![\w-])O-O(?P<long>-O)?(?![\w-])", _say_castles),
]
