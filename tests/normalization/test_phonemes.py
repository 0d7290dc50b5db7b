"""English in phonemes: known words, what stands around them, and text that may grow."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sled.normalization import max_bytes, normalize, open_normalizer, phonemes, text_of
from sled.normalization.pronouncer import load_pronouncer
from sled.text.incremental import IncrementalTokenizer
from sled.text.tokenizer import TextTokenizer
from tests.normalization.test_normalization import TRICKY, words_of

WITHOUT_STRESS = str.maketrans("", "", "ˈˌ")


def said(text: str) -> str:
    return normalize(text, "english-phonemes")


@pytest.mark.parametrize(
    ("word", "ipa"),
    [
        # General American, as dictionaries have it, but for oʊ eɪ aɪ aʊ ɔɪ tʃ dʒ: one letter each
        ("cat", "kæt"),
        ("ship", "ʃɪp"),
        ("go", "ɡO"),
        ("day", "dA"),
        ("knights", "nIts"),
        ("House", "hWs"),
        ("boy", "bY"),
        ("church", "ʧɜɹʧ"),
        ("JUDGE", "ʤʌʤ"),
        ("though", "ðO"),
        ("through", "θɹu"),
        ("measure", "mɛʒəɹ"),
    ],
)
def test_words_sound_as_dictionaries_say(word: str, ipa: str) -> None:
    assert said(word).translate(WITHOUT_STRESS) == ipa


@pytest.mark.parametrize(
    ("written", "also"),
    [
        ("The knights knew", "the nights new"),
        ("naïve", "naive"),
        ("Dr. Jones paid $5 in 1905", "doctor jones paid five dollars in nineteen oh five"),
        ("the FBI's", "the f b I's"),
    ],
)
def test_what_sounds_the_same_is_the_same(written: str, also: str) -> None:
    assert said(written) == said(also)


def test_a_letter_that_is_spelled_is_no_article() -> None:
    assert said("A.I. at 7 a.m.") == "ˈA ˈI æt sˈɛvən ˈA ˈɛm."
    assert said("USA, the USA's, a CAA") == "jˈu ˈɛs ˈA, ðə jˈu ˈɛs ˈAz, ɐ sˈi ˈA ˈA"
    assert said("a man") == "ɐ mˈæn"


@pytest.mark.parametrize(
    "text",
    [
        '("{Go}!" {he} {said}.)',
        "{go} - {there}, '{go}'...",
        "{well-known} {rock'n'roll} {isn't}",
        "{the} {dogs}' '{bone}'",
    ],
)
def test_only_english_words_change(text: str) -> None:
    expected = re.sub("{(.+?)}", lambda word: said(word[1]), text)
    assert said(text.translate(str.maketrans("", "", "{}"))) == expected


@pytest.mark.parametrize(
    ("text", "also"),
    [
        ("go 今日は, привет go - go", "go, go - go"),
        ("今go go go今 ٣", "go go go 3"),
        ("?!", ""),
        ("...", ""),
        ("😀", ""),
    ],
)
def test_what_cannot_be_said_is_left_out(text: str, also: str) -> None:
    assert said(text) == said(also)


@pytest.mark.parametrize(
    ("word", "ipa"),
    [
        # accents tell how a word sounds
        ("résumé", "ɹˌAsumˈA"),
        ("resume", "ɹəzˈum"),
        ("rosé", "ɹəsˈA"),
        ("fiancé", "fiˈɑnsˈA"),
        ("Beyoncé", "bˌAənsˈA"),
        # sounds
        ("Shh!", "ʃ!"),
        ("Hmmmmm.", "hˈʌm."),
        ("Pfft", "pft"),
        # letters
        ("Vitamin A", "vˈITəmən ˈA"),
        ("A, B, C", "ˈA, bˈi, sˈi"),
        ("NYC", "ˈɛn wˈI sˈi"),
        ("AT&T", "ˈA tˈi ænd tˈi"),
    ],
)
def test_accents_sounds_and_letters(word: str, ipa: str) -> None:
    assert said(word) == ipa


def test_of_a_long_run_nothing_is_lost() -> None:
    for part in ["ab'", "a-", "b-cd", "7", "é_"]:
        assert len(said(part * (10_000 // len(part)))) >= 5_000
    with_hyphens = "mother-in-law-and-father-in-law"
    assert said(with_hyphens) == "".join(map(said, with_hyphens.split("-")))


letters = st.text("abcehwxz'-", max_size=30)
texts = st.lists(st.sampled_from(TRICKY) | letters | st.text(max_size=5), max_size=15).map("".join)


@given(text=texts, cuts=st.lists(st.integers(0, 200)))
@example(text="x" * 200, cuts=[64, 65, 128])
@example(text="the U.S.A. Army", cuts=[5, 7, 9, 10])
@settings(max_examples=100, deadline=None)
def test_however_a_text_is_cut_the_same_is_said(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    for pieces in ([text[a:b] for a, b in zip(places, places[1:], strict=False)], list(text)):
        normalizer = open_normalizer("english-phonemes")
        words = [word for piece in pieces for word in normalizer.feed(piece)] + normalizer.finish()
        assert words == words_of(text, "english-phonemes")


@given(text=texts)
@example(text="=".join(["7" * 15] * 5))
@settings(max_examples=150, deadline=None)
def test_words_are_those_of_english_and_no_longer_than_beyond_measure(text: str) -> None:
    words = normalize(text, "english").split()
    assert len(said(text).split()) == len(words)
    words = text.split()
    assert len(said(text).encode()) <= sum(max_bytes(word, "english-phonemes") for word in words)


@given(word=st.text("WXRwxrs.'-", max_size=8) | st.sampled_from(["e.g.", "vs.", "Lt.", "kHz"]))
@settings(max_examples=100, deadline=None)
def test_letters_become_fewer_bytes_than_digits(word: str) -> None:
    assert len(said(word).encode()) <= max_bytes(word, "english-phonemes") < 14 * (len(word) + 1)


@given(before=texts, one=texts, other=texts)
@settings(max_examples=50, deadline=None)
def test_a_copy_is_a_snapshot(before: str, one: str, other: str) -> None:
    normalizer = open_normalizer("english-phonemes")
    begun = normalizer.feed(before)
    snapshot = copy(normalizer)
    for branch, text in ((normalizer, one), (snapshot, other)):
        expected = words_of(before + text, "english-phonemes")
        assert begun + branch.feed(text) + branch.finish() == expected


def test_a_tokenizer_learns_phonemes_and_keeps_up_with_growing_text() -> None:
    lines = ["Though he paid $5, the knights knew."] * 3
    tokenizer = TextTokenizer.train(lines, 320, normalization="english-phonemes")
    assert tokenizer.decode(tokenizer.encode(" Though  knew ")) == said("though knew")
    assert tokenizer.encode("knights") == tokenizer.encode("nights")
    growing, normalizer = IncrementalTokenizer(tokenizer), open_normalizer("english-phonemes")
    ids = [token for char in lines[0] for token in growing.feed(text_of(normalizer.feed(char)))]
    ids += growing.feed(text_of(normalizer.finish())) + growing.finish()
    assert ids == tokenizer.encode(lines[0])


def test_threads_load_hibari_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []

    def load() -> Callable[[str], str]:
        loaded.append(load_pronouncer())
        return loaded[-1]

    words = ["schweinehund", "bratwurst", "zyzzyva"]
    expected = list(map(said, words))
    monkeypatch.setattr(phonemes, "_load_hibari", cache(load))
    phonemes.pronounce.cache_clear()
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(said, words * 8)) == expected * 8
    assert len(loaded) == 1


def test_frequent_words_do_not_load_hibari(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> None:
        raise AssertionError("loaded hibari")

    monkeypatch.setattr(phonemes, "_load_hibari", load)
    phonemes.pronounce.cache_clear()
    assert said("Speech starts while the text is still being written.")
    with pytest.raises(AssertionError):
        said("zyzzyva")
