"""Segments of a growing text: whole sentences if possible, short enough always."""

from copy import copy
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sled.normalization import SpokenWord
from sled.text.breaks import Break, break_before
from sled.text.segment_size import SegmentSize
from sled.text.segments import Boundary, Piece, SegmentLimits, SegmentSplitter, split_segments
from sled.text.tokenizer import TextTokenizer, normalize_spaces

EVERY_SENTENCE = SegmentLimits(target=1, limit=10_000)


def segments_of(events: list[Piece | Boundary]) -> list[str]:
    segments = [""]
    for event in events:
        if isinstance(event, Boundary):
            segments.append("")
        else:
            segments[-1] += event.text
    return segments


@pytest.mark.parametrize(
    "sentences",
    [
        ["One. ", "Two! ", "Three? ", "Four… ", "Five... ", "Six?! ", "Seven"],
        ['He asked: "Why?" and left. ', '"So." ', "(She went.) ", "‘Good.’ ", "[All gone.] ", "1"],
        ["Mr. Smith met Dr. J. K. Jones, e.g. at 3.14 p.m. in the U.S. Army. ", "Then he left."],
        ["It cost 1,000.50 in 1999. ", "See No. 5 on p. 12, or vol. 3. It said no. ", "Yes."],
        ["1. Some begin like this. ", "2. Others on 3. October, etc. ", "That is all."],
        ["example.com is not two sentences, nor is iPhone. iPad, or wait... what? no. ", "Yes."],
        ["The St.-Denis (cf. Prof. Dupont) inc. al. was sold approx. in Sept. 1901. ", "No."],
        ["He paused . . . and went on. ", "Quoi ? ", "Oui !  \t ", "Bien."],
        ["Chapter One\n\n", "It was a dark\nand stormy\nNight. ", "Yes\r\n \r\n", "- and no"],
        ["他来了。", "她走了！！", "真的？", "“好。”", "他说：「是。」", "于是……他走了。"],
        ["他走了。 \n", "天气很好。", "2024年3月。", "OK。"],
        ["ज़रूर। ", "هل؟ ", "نعم۔ ", "Yes."],
    ],
)
def test_sentences_end_where_a_reader_would_end_them(sentences: list[str]) -> None:
    assert split_segments("".join(sentences), EVERY_SENTENCE) == sentences


def test_a_segment_is_as_many_sentences_as_reach_the_target() -> None:
    text = "One two. Three. Four five six. Seven. Eight."
    limits = SegmentLimits(target=12, limit=100)
    assert split_segments(text, limits) == ["One two. Three. ", "Four five six. ", "Seven. Eight."]


@pytest.mark.parametrize(
    ("past", "character", "kind"),
    [
        ("He came, ", "s", Break.CLAUSE),
        ("he came; ", "s", Break.CLAUSE),
        ("one thing: ", "“", Break.CLAUSE),
        ("this—", "t", Break.CLAUSE),
        ("this - ", "t", Break.CLAUSE),
        ("this -- ", "t", Break.CLAUSE),
        ("a line\n", "T", Break.CLAUSE),
        ("等等……", "他", Break.CLAUSE),
        ("他来，", "她", Break.CLAUSE),
        ("he ", "c", Break.WORD),
        ("天", "气", Break.WORD),
        ("h", "e", Break.NONE),
        ("3,", "1", Break.NONE),
        ("12:", "3", Break.NONE),
        ("12：", "3", Break.NONE),
        ("1 ", "0", Break.NONE),
        ("1999—", "2", Break.NONE),
        ("well-", "k", Break.NONE),
        ("天", "，", Break.NONE),
        ("。", "”", Break.NONE),
        ("Mr. ", "S", Break.NONE),
        ("Wait ", "…", Break.NONE),
    ],
)
def test_weaker_breaks(past: str, character: str, kind: Break) -> None:
    assert break_before(past, character) is kind


def test_the_longer_a_segment_the_weaker_the_break_it_ends_with() -> None:
    limits = SegmentLimits(target=20, limit=40)
    clauses = "aaaaa, bbbbb, ccccc, ddddd, eeeee, fffff, ggggg."
    assert split_segments(clauses, limits)[0] == "aaaaa, bbbbb, ccccc, ddddd, eeeee, "  # from 30 on
    words = "aaaaa bbbbb ccccc ddddd eeeee fffff ggggg hhhhh."
    assert split_segments(words, limits)[0] == "aaaaa bbbbb ccccc ddddd eeeee fffff "  # from 35 on
    assert split_segments("a" * 100, limits) == ["a" * 40, "a" * 40, "a" * 20]
    assert split_segments("天" * 50, limits) == ["天" * 35, "天" * 15]


@pytest.mark.parametrize(
    "segments",
    [
        # A sentence that ends within the limit is preferred to a clause before it.
        ["He came in here, and then she left. ", "He stayed."],
        # The first of several clauses, and a clause rather than a conjunction.
        ["He came in over there with her, ", "and, as she sat and sang, ate it."],
        # A conjunction rather than another word.
        ["aaaa bbbb cccc dddd eeee fffff gggg ", "and hh iiii jjjj kkkk llll."],
        # A conjunction that comes early rather than a word that comes late.
        ["aaaa bbbb cccc dddd eeee fffff ", "which gggg hhhh iiii jjjj kkkk llll."],
        # A preposition rather than a word, but not one that belongs to the word before it.
        ["aaaa bbbb cccc dddd eeee fffff gggg ", "with hh iiii jjjj kkkk llll."],
        ["aaaa bbbb cccc dddd eeeee ffff ", "because of gg hhh iiii jjjj kkkk llll."],
        # Not behind an article, nor behind what may be an adjective after one.
        ["aaaa bbbb cccc dddd eeee ffff a new gg ", "hhhhhhhh iiii jjjj kkkk llll."],
        # But there rather than within a word.
        ["aaaa bbbb cccc dddd eeee fffff a the ", "hhhhhhhh iiii jjjj kkkk llll."],
        # No rest is left alone that fits.
        ["aaaa bbbb cccc dddd eeee fffff gggg hh i"],
        # What is too long without any place is cut.
        ["a" * 40, "a" * 5],
    ],
)
def test_a_long_sentence_is_cut_at_its_best_place(segments: list[str]) -> None:
    assert split_segments("".join(segments), SegmentLimits(target=20, limit=40)) == segments


# Everything that decides about breaks, densely, and anything else.
TRICKY = [
    *" \n.?!…,;:—-\"'”’()。！？，「」a1天",
    *[
        "Mr. ",
        "e.g. ",
        "3.14",
        "\n\n",
        "\r\n",
        "One. ",
        "two, ",
        "天气。",
        "x" * 20,
        "\u3000",
        "No. 5",
        "and ",
        "in the ",
        "because of ",
    ],
]
texts = st.lists(st.sampled_from(TRICKY) | st.text(max_size=4), max_size=80).map("".join)


@st.composite
def limits(draw: st.DrawFn) -> SegmentLimits:
    target = draw(st.integers(1, 40))
    return SegmentLimits(target, draw(st.integers(target, 120)))


@st.composite
def limits_of_lists(draw: st.DrawFn) -> SegmentLimits:
    pauses, items = draw(st.integers(0, 6)), draw(st.integers(1, 40))
    return replace(
        draw(limits()), stop=2 * pauses, comma=pauses, items=items, item=draw(st.integers(1, items))
    )


@given(text=texts, limits=limits() | limits_of_lists(), cuts=st.lists(st.integers(0, 200)))
@example(text="a.  " * 40, limits=SegmentLimits(1, 2), cuts=list(range(160)))
@settings(max_examples=300)
def test_however_text_is_cut_it_comes_back_in_the_same_segments(
    text: str, limits: SegmentLimits, cuts: list[int]
) -> None:
    splitter = SegmentSplitter(limits)
    events, fed = [], ""
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    for start, stop in zip(places, places[1:], strict=False):
        events += splitter.feed(text[start:stop])
        fed += text[start:stop]
        certain = "".join(segments_of(events))
        assert fed.startswith(certain)
        assert len(normalize_spaces(fed[len(certain) :])) <= limits.limit - limits.target
    segments = segments_of(events + splitter.finish())
    assert segments == split_segments(text, limits)
    assert all(len(normalize_spaces(segment)) <= limits.limit for segment in segments)
    assert not text.strip() or all(segment.strip() for segment in segments)


@given(text=texts, limits=limits())
def test_a_segment_below_the_target_ends_only_where_nothing_more_fits(
    text: str, limits: SegmentLimits
) -> None:
    segments = split_segments(text, limits)
    for segment, following in zip(segments, segments[1:], strict=False):
        if len(normalize_spaces(segment)) < limits.target:
            assert len(normalize_spaces(segment + following[0])) > limits.limit


WORDS = ["Mr. Smith said", "about 3.14 of", "1,000,000 men", "at 12:30 he", "e.g. the", "so,"]
WORDS += [
    "Prof. J. K. Jones",
    "(U.S. Army) came",
    "it ended.",
    "“Why?”",
    "No. 5 is",
    "1 000 francs",
]
UNITS = ["Mr. Smith", "3.14", "1,000,000", "12:30", "e.g. the", "J. K. Jones", "U.S. Army"]
UNITS += ["Prof. J.", "No. 5", "1 000"]


@given(words=st.lists(st.sampled_from(WORDS), min_size=20, max_size=60), limits=limits())
def test_numbers_and_abbreviations_stay_in_one_piece(
    words: list[str], limits: SegmentLimits
) -> None:
    """Given room: the last quarter of the way to the limit holds a longest run of them."""
    limits = SegmentLimits(limits.target, limits.limit + 120)
    text = " ".join(words)
    segments = split_segments(text, limits)
    assert len(segments) > 1 or len(text) <= limits.limit
    for unit in UNITS:
        assert sum(segment.count(unit) for segment in segments) == text.count(unit)


def test_size_can_be_counted_in_tokens() -> None:
    text = "four two seven nine, three one. " * 20
    tokenizer = TextTokenizer.train([text] * 2, 300)
    segments = split_segments(text, SegmentLimits(target=10, limit=30), tokenizer.count)
    sizes = [tokenizer.count(normalize_spaces(segment)) for segment in segments]
    assert all(10 <= size <= 30 for size in sizes[:-1])


PHONEMES = TextTokenizer.train(["though he paid five"], 280, normalization="english-phonemes")


@given(words=st.lists(st.sampled_from([*WORDS, "WWW", "777777", "ab" * 20]), max_size=20))
@settings(max_examples=50, deadline=None)
def test_an_upper_bound_saves_counting_and_changes_nothing(words: list[str]) -> None:
    text, limits = " ".join(words), SegmentLimits(target=20, limit=40, word=8, cut=90)
    counted = split_segments(text, limits, PHONEMES.count, lambda _: 10**9)
    assert split_segments(text, limits, PHONEMES.count, PHONEMES.max_count) == counted


def test_far_from_the_limits_only_whole_words_are_counted() -> None:
    text, counted = "Though he paid five dollars, the knights knew.", set()

    def count(word: str) -> int:
        counted.add(word.strip())
        return PHONEMES.count(word)

    limits = SegmentLimits(target=1000, limit=2000)
    assert split_segments(text, limits, count, PHONEMES.max_count) == [text]
    assert counted <= set(text.split())


@given(before=texts, after=texts, limits=limits() | limits_of_lists())
def test_a_copy_is_a_snapshot(before: str, after: str, limits: SegmentLimits) -> None:
    splitter = SegmentSplitter(limits)
    events = splitter.feed(before)
    snapshot = copy(splitter)
    splitter.feed("Something else. ")
    events += snapshot.feed(after) + snapshot.finish()
    assert segments_of(events) == split_segments(before + after, limits)


@pytest.mark.parametrize(
    "segments",
    [
        ["Ten. Nine. ", "Eight. Seven. ", "Six. Five. ", "Four. Three."],
        ["Monday, Tuesday, ", "Wednesday, Thursday, ", "Friday, Saturday, ", "Sunday."],
        ["He bought two apples from the market, and then he went home again."],
    ],
)
def test_lists_are_divided_into_few_items_and_prose_is_not(segments: list[str]) -> None:
    limits = SegmentLimits(target=70, limit=140, stop=8, comma=4, items=20)
    assert split_segments("".join(segments), limits) == segments


@pytest.mark.parametrize(
    "segments",
    [
        # The first part tells that it is a list; then each item is a part.
        ["Ten. Nine. ", "Eight. ", "Seven. ", "Six. ", "Five."],
        ["Monday, Tuesday, ", "Wednesday, ", "Thursday, ", "Friday."],
        # Items of several words, and prose behind a list, are divided as before.
        ["He ran, he sat, ", "he ate, he lay, ", "he slept."],
        # The ends of short lines are pauses.
        ["Monday\nTuesday\n", "Wednesday\n", "Thursday\n", "Friday"],
        ["Ten. Nine. ", "Eight. ", "Then he left, ", "and came back again in the evening."],
    ],
)
def test_lists_of_words_are_divided_into_single_items(segments: list[str]) -> None:
    limits = SegmentLimits(target=70, limit=140, stop=8, comma=4, items=20, item=8)
    assert split_segments("".join(segments), limits) == segments


def test_limits_that_leave_no_room_are_refused() -> None:
    with pytest.raises(ValueError, match="target=5, limit=4"):
        SegmentLimits(5, 4)
    with pytest.raises(ValueError, match="at least 1"):
        SegmentLimits(0, 4)


def test_a_word_is_not_cut_for_the_pause_after_it():
    """Nor does one fail whose pause alone is longer than a segment may be."""
    limits = SegmentLimits(target=1, limit=2, cut=3, stop=8)
    size = SegmentSize(limits, lambda text: list(range(1, len(text) + 1)))
    words = [SpokenWord(text, 0, 1) for text in ("ab. ", "cdefg. ", "h")]
    parts = [[word.text for word in part] for part in size.divide(words)]
    assert parts == [[], ["ab. "], ["cde"], ["fg. "], ["h"]]
