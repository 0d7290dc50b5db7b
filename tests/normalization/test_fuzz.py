"""Mutated real text through everything that reads text: nothing fails, grows or slows down.

A few hundred texts in the usual run; `pytest --hypothesis-profile=fuzz` with this file tries
100,000 in each test.
"""

import re
import sys
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from types import FrameType
from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sled.normalization import SpokenWord, max_bytes, normalize, open_normalizer, text_of
from sled.streaming.text_stage import TextEvent, TextStage
from sled.text.incremental import IncrementalTokenizer
from sled.text.segments import Boundary, SegmentLimits, SegmentSplitter, split_segments
from sled.text.tokenizer import TextTokenizer, normalize_spaces
from tests.normalization.modern_text import read_lines

NORMALIZATIONS = [None, "english", "english-phonemes"]
LINES = [line.written for line in read_lines()]
# What normalisers, tokenizers and splitters look at, and what no one expects.
INSERTED = [
    *" \n\t.,:;!?'\"()-–—/\\$%&°½²√±≈<>=+*#@_~^|[]{}0123456789IVXaé",
    *"İß今\u0301\u200b\ufe0f\x00\ud7ff",
    *[
        "1/2",
        "3:1",
        "5'10\"",
        "10^6",
        "e-27",
        "12/31",
        "555-0123",
        "+1 ",
        " 234 567",
        "W/m²K",
        "→",
        "5'-",
        "noon-",
        "0x1F",
        "E. coli",
        "№",
        "€3,50",
        "$.99",
        "1,0",
    ],
    *["Mr. ", "St. ", "U.S. ", "No. ", "p.m.", "http://", "www.", ".com", "a@b", "IV", "km/h"],
    *[
        "😀",
        "👩\u200d👧",
        "❤️",
        "\r\n",
        "...",
        "!!!!!!!!",
        "<b>",
        "&amp;",
        "[x](y)",
        "```",
        "$x^2$",
        "\\frac{1}{2}",
        "\\(",
        "привет",
    ],
    *["x" * 40, "7" * 40, "." * 40, "M" * 10, "1." * 20, "- " * 20, "A, " * 10],
]


class Reader(Protocol):
    """What reads a growing text."""

    def feed(self, piece: str, /) -> object: ...

    def finish(self) -> object: ...


@st.composite
def mutated_texts(draw: st.DrawFn) -> str:
    """Some of the lines, in which spans were deleted, doubled, moved, replaced or changed."""
    lines = draw(st.lists(st.sampled_from(LINES), min_size=1, max_size=3))
    text = draw(st.sampled_from([" ", "\n", "\n\n", ""])).join(lines)
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        span = text[start:end]
        instead = draw(
            st.sampled_from(["", span * 2, span.upper(), span.lower(), span[::-1]])
            | st.sampled_from(INSERTED)
            | st.text(max_size=4)
        )
        moved_to = draw(st.sampled_from([None, None, 0, len(text)]))
        text = text[:start] + instead + text[end:]
        if moved_to is not None:
            text = text[:moved_to] + span + text[moved_to:]
    return text


# Parts of sums, quantities, addresses and dates, which rules put together.
PARTS = [
    *["1", "2.5", "10", "1/2", " 234", "x", "ab", "π", "IV", "Th", "ed.", "pop.", "ATG", "№", "€"],
    *[" m", "km", "W", "K", "m²K", "(kg K)", "°", "%", "f(", "sin(", "√", "∫", "∑ᵢ₌₁ⁿ", "|x|", "|"],
    *[
        "(",
        ")",
        "^2",
        "²",
        "⁻¹",
        "₀",
        "!",
        "+",
        " − ",
        "-",
        " = ",
        "/",
        "×",
        " * ",
        " < ",
        "≥",
        "±",
    ],
    *[
        "→",
        "·",
        "e-3",
        "0x",
        "1F",
        "'",
        '"',
        ",",
        ".",
        ":",
        "@",
        "#",
        " ",
        "am",
        "May ",
        "12/",
        "p.",
    ],
]
joined_parts = st.lists(st.sampled_from(PARTS), min_size=2, max_size=9).map("".join)


@st.composite
def cut_texts(draw: st.DrawFn) -> list[str]:
    """A mutated text, or parts in any order, in pieces."""
    text = draw(mutated_texts() | joined_parts)
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=5)))
    return [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return TextTokenizer.train(LINES, 600)


@pytest.fixture(scope="module")
def normalizing_tokenizer() -> TextTokenizer:
    return TextTokenizer.train(LINES, 600, normalization="english")


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@given(pieces=cut_texts())
def test_normalising_is_bounded_and_does_not_depend_on_the_cuts(normalization, pieces):
    text = "".join(pieces)
    normalizer = open_normalizer(normalization)
    words = [word for piece in pieces for word in normalizer.feed(piece)] + normalizer.finish()
    said = text_of(words)
    assert said == normalize(text, normalization)
    assert len(said.encode()) <= max_bytes(text, normalization)
    assert_sound_spans(words, len(text))


def assert_sound_spans(words: list[SpokenWord], length: int) -> None:
    assert all(0 <= word.start <= word.end <= length for word in words)
    for one, following in pairwise(words):
        same_item = (one.start, one.end) == (following.start, following.end)
        assert same_item or one.end <= following.start


@given(pieces=cut_texts())
def test_tokens_do_not_depend_on_the_cuts(tokenizer, pieces):
    growing = IncrementalTokenizer(tokenizer)
    ids = [token for piece in pieces for token in growing.feed(piece)] + growing.finish()
    assert ids == tokenizer.encode(normalize_spaces("".join(pieces)))


@given(pieces=cut_texts(), target=st.integers(8, 40), way=st.integers(0, 40))
def test_segments_have_all_of_the_text_and_are_not_too_long(
    normalizing_tokenizer, pieces, target, way
):
    count, max_count = normalizing_tokenizer.count, normalizing_tokenizer.max_count
    limits = SegmentLimits(target, target + way, cut=target + way + 8)
    segments, text = [""], "".join(pieces)
    splitter = SegmentSplitter(limits, count, max_count)
    events = [event for piece in pieces for event in splitter.feed(piece)]
    for event in events + splitter.finish():
        if isinstance(event, Boundary):
            segments.append("")
        else:
            segments[-1] += event.text
    assert "".join(segments) == text
    assert all(segment.strip() for segment in segments) or not text.strip()
    assert segments == split_segments(text, limits, count, max_count)
    for segment in segments:
        # A character is counted alone only where it is the first of a segment.
        sizes = [count(word) for word in re.findall(r"(?:^\s*|\s)\S+", segment) if len(word) <= 32]
        assert len(sizes) <= 1 or sum(sizes) <= limits.largest


@given(pieces=cut_texts(), target=st.integers(3, 40), way=st.integers(0, 40))
def test_no_segment_is_too_long_as_it_is_said_nor_depends_on_the_cuts(
    normalizing_tokenizer, pieces, target, way
):
    """Several words together may be said in more words than each alone: 6 x 4, $5 million."""
    limits = SegmentLimits(target, target + way, cut=target + way + 4)

    def said(texts: list[str]) -> list[str]:
        events: list[TextEvent] = []
        stage = TextStage(normalizing_tokenizer, limits, events.append, lambda: 10**9)
        for text in texts:
            stage.feed(text, 0.0)
        stage.end(0.0)
        while stage.work():
            pass
        segments = [""]
        for event in events:
            segments[-1] += event.text
            segments += [""] * event.ends_segment
        return segments

    text = "one " + "".join(pieces)  # not blank
    segments = said(["one ", *pieces])
    assert segments == said([text])
    sizes = [len(normalizing_tokenizer.token_ends(segment.strip())) for segment in segments]
    assert max(sizes) <= limits.largest


def work_of(function: Callable[[], object]) -> int:
    """How many functions are called, those of C included, and how long the texts given to them are.

    The texts count since one call may read all of a growing text again.
    """
    work = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal work
        work += event in ("call", "c_call")
        if event == "call":
            work += sum(len(value) for value in frame.f_locals.values() if isinstance(value, str))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(before)
    return work


def read_in_pieces(reader: Reader, text: str) -> None:
    """Give a text to a reader a few characters at a time, as a language model writes it."""
    for start in range(0, len(text), 4):
        reader.feed(text[start : start + 4])
    reader.finish()


@pytest.fixture(scope="module")
def readers(tokenizer, normalizing_tokenizer) -> dict[str, Callable[[], Reader]]:
    """What opens a reader of each kind."""
    limits = SegmentLimits(20, 40, cut=48)
    count, max_count = normalizing_tokenizer.count, normalizing_tokenizer.max_count
    return {
        "verbatim": partial(open_normalizer, None),
        "english": partial(open_normalizer, "english"),
        "english-phonemes": partial(open_normalizer, "english-phonemes"),
        "tokens": partial(IncrementalTokenizer, tokenizer),
        "segments": partial(SegmentSplitter, limits, count, max_count),
    }


@pytest.mark.parametrize("kind", ["verbatim", "english", "english-phonemes", "tokens", "segments"])
@given(unit=mutated_texts())
@settings(max_examples=4)
def test_a_text_twice_as_long_takes_twice_the_work(kind, unit, readers):
    begin = "plain words of a text " * 5  # a reader looks at some text before what it reads

    def work(times: int) -> int:
        return work_of(lambda: read_in_pieces(readers[kind](), begin + (unit + " ") * times))

    work(6)  # fills caches
    first, both = work(3) - work(0), work(6) - work(0)
    assert both <= 2.5 * first + 1000
