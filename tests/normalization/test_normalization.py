"""Text as it is said: what becomes of numbers, abbreviations and signs, in a text that may grow."""

from copy import copy

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sled.normalization import SpokenWord, max_bytes, normalize, open_normalizer, text_of
from sled.normalization.english import verbalize
from sled.text.tokenizer import TextTokenizer


def words_of(text: str, name: str | None) -> list[SpokenWord]:
    normalizer = open_normalizer(name)
    return normalizer.feed(text) + normalizer.finish()


def english(text: str) -> str:
    return normalize(text, "english")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # numbers
        ("7 of 42 came", "seven of forty-two came"),
        (
            "1,234,567 men",
            "one million two hundred thirty-four thousand five hundred sixty-seven men",
        ),
        ("3.14, or .5", "three point one four, or zero point five"),
        ("It fell to -5.", "it fell to minus five."),
        ("Agent 007", "agent zero zero seven"),
        ("Call 555-0123.", "call five five five, zero one two three."),
        ("version 1.2.3", "version one point two point three"),
        ("10-12 days", "ten to twelve days"),
        ("10–12 days", "ten to twelve days"),
        ("a 5-year-old", "a five year-old"),
        ("1/2 or 3/4, 24/7", "one half or three quarters, twenty-four seven"),
        ("1½ cups, ¾ full", "one and one half cups, three quarters full"),
        ("the 1st, 22nd and 103rd", "the first, twenty-second and one hundred third"),
        # years and dates
        ("In 1905 and 1984.", "in nineteen oh five and nineteen eighty-four."),
        (
            "1900, 2000, 2005, 2015",
            "nineteen hundred, two thousand, two thousand five, twenty fifteen",
        ),
        ("the 1990s, the '60s", "the nineteen nineties, the 'sixties"),
        ("from 1914-18", "from nineteen fourteen to eighteen"),
        ("March 5, 1999", "march fifth, nineteen ninety-nine"),
        ("Jan. 3 or 12 Feb.", "january third or the twelfth of february."),
        ("on 11/22/1963", "on november twenty-second, nineteen sixty-three"),
        ("2024-02-29", "february twenty-ninth, twenty twenty-four"),
        # money and units
        ("$5, $1 and $0.50", "five dollars, one dollar and fifty cents"),
        ("£3.20", "three pounds and twenty pence"),
        ("$3.5 million, $2bn", "three point five million dollars, two billion dollars"),
        ("€1,000", "one thousand euros"),
        ("5 km, 1 km, 5km", "five kilometers, one kilometer, five kilometers"),
        ("50%, 20 °C", "fifty percent, twenty degrees celsius"),
        ("1905 ft", "one thousand nine hundred five feet"),
        # times of day
        ("at 7:30 or 7:05", "at seven thirty or seven oh five"),
        ("at 7:00", "at seven o'clock"),
        ("7:00 p.m., 7 pm, 7:30pm", "seven p m, seven p m, seven thirty p m"),
        # abbreviations
        ("Mr. and Mrs. Smith met Dr Jones", "mister and missus smith met doctor jones"),
        ("Prof. J. K. Jones", "professor j k jones"),
        ("No. 7, and no. No 7.", "number seven, and no. no seven."),
        ("vol. 3, p. 12", "volume three, page twelve"),
        ("St. Paul on Wall St. today", "saint paul on wall street today"),
        ("dogs, cats, etc. They", "dogs, cats, et cetera. they"),
        ("dogs, etc. and cats", "dogs, et cetera and cats"),
        ("e.g. Acme Inc.", "for example acme incorporated."),
        ("At 7 a.m.? He left (the U.S.).", "at seven a m? he left (the u s)."),
        ("the U.S. Army", "the u s army"),
        ("in the U.S. He left the U.S.", "in the u s. he left the u s."),
        # capitals
        ("The FBI, NASA and TV's AI", "the f b i, nasa and t v's a i"),
        ("World War II, Henry VIII", "world war two, henry the eighth"),
        ("Chapter IV. Act I.", "chapter four. act one."),
        ("the part I like", "the part i like"),
        # signs
        ("Q&A @ home + #3", "q and a at home plus number three"),
        ("joe@example.com", "joe at example dot com"),
        ("“Naïve” ‘café’…", "\"naive\" 'cafe'..."),
        ("here—there, so -- yes", "here - there, so - yes"),
        ("well-known, don't", "well-known, don't"),
        ("one.Two", "one. two"),
        ("a  b\n  c", "a b, c"),
        # what chat models write
        ("😀 Hi there!👋🏽 Fine 👍", "hi there! fine"),
        ("1️⃣ one → two ✓ • 20 °C", "one one - two - twenty degrees celsius"),
        ("## Title\n* **one** `two`\n> three\n***", "title. one 'two', three"),
        ("#ai in C#, F#m. PR#5 # 3", "hashtag ai in c sharp, f sharp m. p r number five three"),
        ("London→Paris, 1→2, 5✓ Hi👋!", "london - paris, one to two, five hi!"),
        ("##Title\n=====\n|---|---|\nx", "title. x"),
    ],
)
def test_what_is_written_becomes_what_is_said(text: str, said: str) -> None:
    assert english(text).strip() == said


def test_for_other_readers_text_keeps_its_case() -> None:
    text = "Mr. A. B. Smith of the FBI paid $5 at 7 a.m."
    assert verbalize(text) == "mister A. B. Smith of the F.B.I paid five dollars at seven A.M."


# Whatever can be changed by what comes after it, or joined with it.
TRICKY = [
    *" \n.,:;!?'\"()-–—/$%&°½1290IVXaéİ今\u0301\u200b#*>😀🏽\ufe0f•",
    *["Mr. ", "No. ", "St. ", "U.S. ", "etc. ", "J. ", "e.g. ", "p.m.", "Jan. ", "He ", "Smith "],
    *["$5 ", "million ", "7 ", "7:00 ", "am ", "km ", "May ", "1,234", "3.14", "1914-18", "5th"],
    *["1990s", "FBI ", "Henry ", "VIII ", "--", "...", "x" * 40, "1" * 30],
]
texts = st.lists(st.sampled_from(TRICKY) | st.text(max_size=5), max_size=25).map("".join)


@given(text=texts, cuts=st.lists(st.integers(0, 200)))
@example(text="x" * 200, cuts=[64, 65, 128])
@example(text="$5 million in the U.S. He", cuts=[2, 3, 8])
@settings(max_examples=300)
def test_however_a_text_is_cut_the_same_is_said(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    for pieces in ([text[a:b] for a, b in zip(places, places[1:], strict=False)], list(text)):
        normalizer = open_normalizer("english")
        said = [word for piece in pieces for word in normalizer.feed(piece)] + normalizer.finish()
        assert said == words_of(text, "english")


@given(text=texts)
@settings(max_examples=150)
def test_nothing_grows_beyond_measure(text: str) -> None:
    assert len(english(text).encode()) <= max_bytes(text, "english")
    words = text.split()
    assert len(english(text).encode()) <= sum(max_bytes(word, "english") for word in words)


@given(before=texts, one=texts, other=texts)
def test_a_copy_is_a_snapshot(before: str, one: str, other: str) -> None:
    normalizer = open_normalizer("english")
    said = normalizer.feed(before)
    snapshot = copy(normalizer)
    for branch, text in ((normalizer, one), (snapshot, other)):
        assert said + branch.feed(text) + branch.finish() == words_of(before + text, "english")


@pytest.mark.parametrize(
    ("fed", "said"),
    [
        ("four", ""),  # fourteen
        ("four ", ""),  # Four !
        ("four s", "four "),
        ("Mr. ", "mister "),
        ("No. ", ""),  # No. 7
        ("No. 7", ""),  # No. 70
        ("No. seven c", "no. seven "),
        ("$5 ", ""),  # $5 million
        ("$5 a w", "five dollars a "),
        ("12 men c", "twelve men "),
        ("He came. ", "he came. "),
        ("the FBI ", "the "),  # FBI AND CIA
        ("A ", ""),  # A, B, C
        ("a b", "a "),
        ("I b", "i "),
        ("7 - 2 ", ""),  # 7 - 2 = 5
        ("one\n", ""),  # a list
        ("one.\n", "one. "),
        ("well—", ""),  # a dash may be part of a longer one
    ],
)
def test_a_word_is_said_when_nothing_can_change_it(fed: str, said: str) -> None:
    assert text_of(open_normalizer("english").feed(fed)) == said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It cost $5 million.", "it<It> cost<cost> five<$5 million.> million<> dollars.<>"),
        ("  Mr.\n Smith ", "mister<Mr.> smith<Smith>"),
        ("the U.S. He", "the<the> u<U.S.> s.<> he<He>"),
    ],
)
def test_a_word_knows_what_it_comes_from(text: str, words: str) -> None:
    """Each word is followed by what was written; words of one item share its span."""
    found, last = [], None
    for word in words_of(text, "english"):
        span = (word.start, word.end)
        found.append(f"{word.text.strip()}<{text[slice(*span)] if span != last else ''}>")
        last = span
    assert " ".join(found) == words


@given(text=texts, name=st.sampled_from([None, "english", "english-phonemes"]))
@settings(max_examples=150, deadline=None)
def test_spans_are_in_order_and_cover_what_is_said(text: str, name: str | None) -> None:
    spans = [(word.start, word.end) for word in words_of(text, name)]
    assert spans == sorted(spans)
    distinct = list(dict.fromkeys(span for span in spans if span[0] < span[1]))
    for (_, end), (start, _) in zip(distinct, distinct[1:], strict=False):
        assert end <= start
    covered = {place for span in distinct for place in range(*span)}
    assert all(place in covered for place, char in enumerate(text) if _is_said(char, name))


def _is_said(char: str, name: str | None) -> bool:
    return not char.isspace() if name is None else char.isascii() and char.isalnum()


@given(text=texts, cuts=st.lists(st.integers(0, 200)))
def test_without_a_normalisation_words_come_out_at_once(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    normalizer = open_normalizer(None)
    for start, stop in zip(places, places[1:], strict=False):
        words = normalizer.feed(text[start:stop])
        assert text_of(words) == text[start:stop]
        assert all(word.text.strip() == text[word.start : word.end] for word in words)


@given(texts)
def test_without_a_normalisation_text_stays_as_it_is(text: str) -> None:
    assert normalize(text, None) == text


def test_a_tokenizer_normalises_what_it_learns_and_encodes() -> None:
    lines = ["He paid $5 to Mr. Smith."] * 3
    tokenizer = TextTokenizer.train(lines, 320, normalization="english")
    assert tokenizer.decode(tokenizer.encode(" Mr.  Smith  ")) == "mister smith"
    assert len(tokenizer.encode("mister")) < len(tokenizer.encode("retsim"))  # learnt


def test_an_unknown_normalisation_is_refused() -> None:
    with pytest.raises(ValueError, match="text_normalization='latin'.*one of: english"):
        open_normalizer("latin")


@pytest.mark.parametrize("text", ["Mr. .Mr. .", "o, .a .", "happy! :) :)Rep. Lee", "Oui ! Non ! !"])
def test_a_mark_behind_a_space_joins_only_a_word_without_one(text: str) -> None:
    fed, whole = open_normalizer("english"), open_normalizer("english")
    pieces = [word for character in text for word in fed.feed(character)] + fed.finish()
    assert pieces == whole.feed(text) + whole.finish()


def test_a_unit_that_runs_into_a_fraction_ends_before_it() -> None:
    assert normalize("35 min½W/m²", "english").startswith("thirty-five minutes one half")


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("One\n", "one,"),
        ("One.\n", "one."),
        ("# One\n\n", "one."),
        ("One ", "one"),
        ("One line that is wrapped since it is so very long\n", None),
    ],
)
def test_a_line_that_ends_with_its_text_is_said_as_within_one(before: str, said: str | None):
    normalizer = open_normalizer("english")
    words = text_of(normalizer.feed(before) + normalizer.finish(goes_on=True)).strip()
    assert words == said or said is None
    assert normalize(f"{before}two", "english") == f"{words} two"


@pytest.mark.parametrize("pieces", [["one | "], ["one ", "|", " "], ["one |", " "]])
def test_a_divider_is_a_pause_at_the_end_of_a_segment_however_it_is_cut(pieces):
    normalizer = open_normalizer("english")
    words = [word for piece in pieces for word in normalizer.feed(piece)]
    assert text_of(words + normalizer.finish(goes_on=True)).strip() == "one,"


def test_a_word_waits_for_a_mark_behind_a_sign_that_is_not_said():
    normalizer = open_normalizer("english")
    words = normalizer.feed("and \x1b") + normalizer.feed(":V, b") + normalizer.finish()
    assert text_of(words) == english("and \x1b:V, b") == "and: v, b"
