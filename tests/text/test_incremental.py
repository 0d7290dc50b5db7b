"""Growing text: the tokens of the whole text, each as soon as it is certain."""

import random
from collections.abc import Iterable
from copy import copy

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from sled.text.incremental import IncrementalTokenizer
from sled.text.tokenizer import BOS_ID, EOS_ID, SPECIAL_TOKENS, TextTokenizer, normalize_spaces

ENGLISH = [
    "It was silent and gloomy, being tenanted solely by the captive; they're sure he'll stay.",
    "The captive's fire had been used for cookery: it's lit no more, and we've 3.50 left!",
    "I'm told they'd paid 1,200 for the wine, hadn't they? four two seven nine",
] * 4
MANDARIN_WORDS = "今天 明天 天气 很好 我们 他们 公园 散步 然后 回家 吃饭 看电影 喝茶 在 的 说"
MANDARIN = [
    "".join(random.Random(line).choices(MANDARIN_WORDS.split(), k=12)) + "。" for line in range(40)
]
# Few characters, many merges of them: nearly every token can still grow into another.
REPETITIVE = ["aaaaaaaaaaaa abababababab bababbabbabb '''' !!!!!!!! 。。。。"] * 4

TOKENIZERS = {
    "english": TextTokenizer.train(ENGLISH, 500),
    "mandarin": TextTokenizer.train(MANDARIN, 400),
    "repetitive": TextTokenizer.train(REPETITIVE, 320),
    "bytes": TextTokenizer.train(["a"], 260),
}

tokenizers = pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS.keys())

# Wherever the words of the tokenizer may begin, end or be told apart only later.
TRICKY = [
    *"'srvlted3½²ab!.…-(\"éğ天。\u0301\u00ad\x1c\x85\u180e\u200b\ufffd",
    *["'s", "'S", "'t", "'re", "'r", "'v", "'ll", "'d", "'m", "''", "!!", "aa", "four", "14"],
    *["e\u0301", "今天", "，我们", "👩\u200d👧", "\U0001f469", "<s>", "</s>"],
]
SPACES = [" ", "  ", "\n", "\n\n", "\t", "\r\n", "\u00a0", "\u3000", "\u2028"]
pieces = st.lists(st.sampled_from(TRICKY + SPACES * 3) | st.text(max_size=6), max_size=30)


def grown(tokenizer: TextTokenizer, pieces: Iterable[str]) -> list[int]:
    text = IncrementalTokenizer(tokenizer)
    ids = [token for piece in pieces for token in text.feed(piece)]
    ids += text.finish()
    assert text.num_committed == len(ids)
    return ids


@tokenizers
@given(pieces=pieces)
@example(pieces=["'", "r", "e"])
@example(pieces=["a", "'", "l", " "])
@example(pieces=["!", "!'", "s"])
@example(pieces=["!", "'", "s"])
@example(pieces=[" ", "'", "s"])
@example(pieces=["\n", " ", "'s", "\u3000", "x", " "])
@example(pieces=["今", "天天", "气", "。", "\n"])
@settings(max_examples=100)
def test_the_tokens_are_those_of_the_whole_text_however_it_is_cut(
    tokenizer: TextTokenizer, pieces: list[str]
) -> None:
    whole = "".join(pieces)
    expected = tokenizer.encode(normalize_spaces(whole))
    assert grown(tokenizer, pieces) == expected
    assert grown(tokenizer, whole) == expected  # character by character
    assert grown(tokenizer, [whole]) == expected


@tokenizers
@given(parts=st.lists(pieces, min_size=1, max_size=3))
@example(parts=[["今天", "天气"], ["很好", "。"]])
@example(parts=[["aa", "'"], ["s", " a"], []])
@example(parts=[["e"], ["\u0301"]])
@settings(max_examples=60)
def test_the_tokens_of_parts_are_those_of_texts_of_their_own(
    tokenizer: TextTokenizer, parts: list[list[str]]
) -> None:
    text, ids = IncrementalTokenizer(tokenizer), list[int]()
    for number, part in enumerate(parts, 1):
        ids += [token for piece in part for token in text.feed(piece)]
        ids += text.finish() if number == len(parts) else text.divide()
    alone = [tokenizer.encode(normalize_spaces("".join(part)))[1:-1] for part in parts]
    assert ids == [BOS_ID, *(token for part in alone for token in part), EOS_ID]


@tokenizers
@given(
    words=st.lists(st.text("ab'!今天1e\u0301", min_size=1, max_size=14), min_size=1, max_size=3),
    cuts=st.lists(st.integers(0, 40)),
)
@settings(max_examples=60)
def test_so_are_those_of_words_that_could_become_many_others(
    tokenizer: TextTokenizer, words: list[str], cuts: list[int]
) -> None:
    whole = " ".join(words)
    places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    cut = [whole[start:stop] for start, stop in zip(places, places[1:], strict=False)]
    assert grown(tokenizer, cut) == grown(tokenizer, whole) == tokenizer.encode(whole)


@st.composite
def tokenizers_of_few_letters(draw: st.DrawFn) -> TextTokenizer:
    """Merges in any order, which no training would give."""
    vocabulary = [*SPECIAL_TOKENS, *sorted(ByteLevel.alphabet())]
    joined, merges = ["a", "b", "c"], []
    for _ in range(draw(st.integers(0, 15))):
        pair = (draw(st.sampled_from(joined)), draw(st.sampled_from(joined)))
        if "".join(pair) not in joined:
            merges.append(pair)
            joined.append("".join(pair))
    vocabulary += joined[3:]
    return TextTokenizer(BPE({token: i for i, token in enumerate(vocabulary)}, merges))


@given(tokenizer=tokenizers_of_few_letters(), word=st.text("abc", min_size=1, max_size=40))
@settings(max_examples=200)
def test_so_are_they_whatever_the_merges_are(tokenizer: TextTokenizer, word: str) -> None:
    assert grown(tokenizer, word) == tokenizer.encode(word)


def test_at_most_the_open_word_is_held_back() -> None:
    tokenizer = TOKENIZERS["english"]
    for sentence in ENGLISH[:3]:
        text, ids = IncrementalTokenizer(tokenizer), []
        for index, character in enumerate(sentence):
            ids += text.feed(character)
            closed = sentence[: index + 1].rpartition(" ")[0]
            expected = tokenizer.encode(closed)[:-1]
            assert ids[: len(expected)] == expected


@pytest.mark.parametrize(
    ("fed", "certain"),
    [
        ("", ""),
        ("four", ""),  # fourteen
        ("four ", "four"),
        ("four,", "four"),  # ,,
        ("four two", "four"),  # twos
        ("four two\n", "four two"),
        ("it'", "it"),  # it's, it''
        ("it'r", "it"),
        ("it're", "it're"),  # nothing can be added to an ending
        ("it'rx", "it'"),  # rxx
        ("it's", "it's"),
        ("it'S", "it'"),  # SS
    ],
)
def test_what_is_certain_is_committed_at_once(fed: str, certain: str) -> None:
    lines = ["fourteen", "it", "a twos", "''", ",,", "rxx", "SS", "x're", "x's"]
    tokenizer = TextTokenizer.train(lines * 4, 400)
    assert IncrementalTokenizer(tokenizer).feed(fed) == tokenizer.encode(certain)[:-1]


def test_text_without_spaces_is_not_held_back_to_the_end_of_its_clause() -> None:
    """To the tokenizer a Chinese clause is a single word."""
    tokenizer = TOKENIZERS["mandarin"]
    clause = "".join(MANDARIN).replace("。", "")
    assert len(tokenizer.words(clause)) == 1
    text, committed, held_back = IncrementalTokenizer(tokenizer), [], []
    for index, character in enumerate(clause, start=1):
        committed += text.feed(character)
        held_back.append(index - len(tokenizer.decode(committed)))
    assert max(held_back) <= 10
    assert sum(held_back) / len(held_back) < 3


@tokenizers
@pytest.mark.parametrize("unit", ["a", "ab", "!", "今天", "'", "1", " ", "a "])
def test_text_of_any_length_takes_little_memory(tokenizer: TextTokenizer, unit: str) -> None:
    text, whole = IncrementalTokenizer(tokenizer), unit * 2000
    ids = [token for character in whole for token in text.feed(character)]
    held = sum(len(value) for value in vars(text).values() if isinstance(value, str))
    assert held <= 40
    assert ids + text.finish() == tokenizer.encode(normalize_spaces(whole))


@tokenizers
@given(before=pieces, one=pieces, other=pieces)
def test_a_copy_is_a_snapshot(
    tokenizer: TextTokenizer, before: list[str], one: list[str], other: list[str]
) -> None:
    text = IncrementalTokenizer(tokenizer)
    ids = [token for piece in before for token in text.feed(piece)]
    snapshot = copy(text)
    for branch, pieces in ((text, one), (snapshot, other)):
        rest = [token for piece in pieces for token in branch.feed(piece)] + branch.finish()
        assert ids + rest == tokenizer.encode(normalize_spaces("".join(before + pieces)))


def test_blank_text_is_known_as_such() -> None:
    text = IncrementalTokenizer(TOKENIZERS["english"])
    assert text.feed(" \n") == [BOS_ID]
    assert text.blank
    text.feed("a")
    assert not text.blank
    text.feed(" ")
    assert not text.blank
    assert IncrementalTokenizer(TOKENIZERS["english"]).finish() == [BOS_ID, EOS_ID]


def test_nothing_follows_the_end() -> None:
    text = IncrementalTokenizer(TOKENIZERS["english"])
    text.finish()
    with pytest.raises(ValueError, match="finished"):
        text.feed("more")
    with pytest.raises(ValueError, match="finished"):
        text.finish()


@given(pieces=pieces)
@settings(max_examples=20)
def test_texts_of_other_models_may_begin_and_end_otherwise(pieces):
    """Without a token at the beginning, and with an end that is no token of the vocabulary."""
    framed = TOKENIZERS["english"]
    bare = TextTokenizer(framed._tokenizer.model, None, None, 700)
    assert grown(bare, pieces) == [*grown(framed, pieces)[1:-1], 700]
    text = normalize_spaces("".join(pieces))
    assert bare.decode(bare.encode(text)) == framed.decode(framed.encode(text))
    assert bare.count(text) == framed.count(text)
