"""Spellings of chats and text messages."""

import pytest

from sled.normalization import normalize


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("thx 4 ur help, u r gr8!", "thanks for your help, you are great!"),
        ("r u there? c u 2nite", "are you there? see you tonight"),
        ("brb, idk tbh", "b r b, i d k t b h"),
        ("im sure u didnt, Ive checked", "i'm sure you didn't, i've checked"),
        ("omw, rly! ty, luv u 2", "on my way, really! t y, love you too"),
        ("ready 2 go b4 lunch", "ready to go before lunch"),
        # Variables, numbers and codes.
        ("Let u = 3x; u + v", "let u equals three x; u plus v"),
        ("if u is a vector", "if u is a vector"),
        ("section 4 the author, at 4 my mom", "section four the author, at four my mom"),
        ("I have 2 dogs, level 2", "i have two dogs, level two"),
        ("a pinch of MSG", "a pinch of m s g"),
        ("see im.example.com and u/dont", "see im dot example dot com and u slash dont"),
    ],
)
def test_spellings_of_chats_are_said_as_words(written, said):
    assert normalize(written, "english") == said
