"""A timeline tells when the words of a known reading were said, to within half a frame."""

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.normalization import SpokenWord
from sled.streaming.mark_timeline import MarkTimeline
from sled.streaming.place_reader import (
    BEFORE,
    BEHIND,
    END_OF_SEGMENT,
    SpokenPlaces,
    WordPart,
    num_places,
)

RATE, HOP = 1000, 50
LOUD = [False] * 100  # a window has 10 samples
WORDS = ["four", "Ärger", "two", "", "a", "77", "seven."]  # one is a pause
TEXT = " ".join(WORDS)


def timeline() -> MarkTimeline:
    return MarkTimeline(RATE, HOP)


def parts(text: str, words: list[str], first: int = 0) -> list[WordPart]:
    """The parts of words, each found in the text behind the one before."""
    found = []
    for word in words:
        start = text.index(word, first)
        first = start + len(word)
        found.append(WordPart.of(SpokenWord(f"{word} ", start, first)))
    return found


def frames_of(words: list[str], ends: list[int]) -> list[int]:
    """What is said at the end of each frame, if each word ends at a sample."""
    places = [*accumulate(map(num_places, words[:-1]), initial=0), BEHIND]
    frames = []
    for end in range(HOP, max(ends) + 2 * HOP, HOP):
        number = sum(1 for one in ends if one <= end)
        frames.append(places[number])
    return frames


def said(line: MarkTimeline) -> list[tuple[str, int, int]]:
    marks = line.marks("word", 0, 10**9)
    return [(mark.text, round(mark.start_s * RATE), round(mark.end_s * RATE)) for mark in marks]


@given(
    lengths=st.lists(st.integers(HOP, 5 * HOP), min_size=6, max_size=6),
    cuts=st.lists(st.integers(0, 60), max_size=6).map(sorted),
    early=st.integers(0, 6),
)
def test_words_begin_and_end_within_half_a_frame_of_the_truth_however_frames_are_cut(
    lengths, cuts, early
):
    words = [word for word in WORDS if word]
    ends = list(accumulate(lengths))
    frames, found = frames_of(words, ends), parts(TEXT, words)
    line, whole = timeline(), timeline()
    line.add(SpokenPlaces(words=tuple(found[:early]), written=TEXT[:9]), 0)
    rest, written = [*found[early:], END_OF_SEGMENT], TEXT[9:]
    for start, stop in pairwise([0, *cuts, len(frames)]):
        line.add(SpokenPlaces(0, tuple(frames[start:stop]), tuple(rest), written), 1)
        rest, written = [], ""
    whole.add(SpokenPlaces(0, tuple(frames), (*found, END_OF_SEGMENT), TEXT), 1)
    for one in (line, whole):
        one.finish(len(frames) * HOP)
    assert said(line) == said(whole)
    assert line.marks("character", 0, 10**9) == whole.marks("character", 0, 10**9)
    for (text, start, end), word, first, last in zip(
        said(line), words, [0, *ends[:-1]], ends, strict=True
    ):
        assert text == word
        assert abs(start - first) <= HOP / 2 and abs(end - last) <= HOP / 2


@given(st.lists(st.integers(-2, 30), max_size=40), st.integers(0, 2000))
def test_marks_are_in_order_and_within_the_text_whatever_the_frames_say(places, num_samples):
    """A tracker may say any place at any time."""
    words = [word for word in WORDS if word]
    line = timeline()
    spoken = SpokenPlaces(0, tuple(places), (*parts(TEXT, words), END_OF_SEGMENT), TEXT)
    line.add(spoken, 1)
    line.finish(num_samples)
    for kind in ("word", "character"):
        marks = line.marks(kind, 0, 10**9)
        for mark in marks:
            assert 0 <= mark.start_s <= mark.end_s <= num_samples / RATE
            assert mark.text == TEXT[mark.start_char : mark.end_char] != ""
        for before, after in pairwise(marks):
            assert before.start_s <= after.start_s and before.end_char <= after.start_char
        taken = [one for at in range(len(marks)) for one in line.marks(kind, at, 10**9)[:1]]
        assert taken == marks
    heard = [line.heard_text(sample) for sample in range(0, num_samples, 10)]
    assert all(after.startswith(before) for before, after in pairwise(heard))


def test_words_that_pass_within_one_frame_divide_it():
    line = timeline()
    words = (*parts("a b c d", ["a", "b", "c", "d"]), END_OF_SEGMENT)
    line.add(SpokenPlaces(0, (0, 0, 3, BEHIND), words, "a b c d"), 1)
    line.finish(200)
    assert said(line) == [("a", 0, 108), ("b", 108, 125), ("c", 125, 142), ("d", 142, 175)]


def test_the_spoken_words_of_one_item_are_one_mark():
    line, text = timeline(), "$5 now"
    dollars = [WordPart.of(SpokenWord(word, 0, 2)) for word in ("five ", "dollars ")]
    now = [WordPart.of(SpokenWord(word, 3, 6)) for word in ("n", "ow")]
    line.add(SpokenPlaces(0, (0, 0, 4, 4), tuple(dollars), text[:2]), 1)
    line.add(SpokenPlaces(0, (11, 11, 12, BEHIND), (*now, END_OF_SEGMENT), text[2:]), 1)
    line.finish(400)
    assert said(line) == [("$5", 0, 225), ("now", 225, 375)]
    characters = line.marks("character", 0, 400)
    assert [mark.text for mark in characters] == list("$5now")
    assert line.marks("character", 2, 400) == characters[2:]


def test_a_mark_is_returned_when_all_of_its_audio_has_been_heard_and_taken():
    line = timeline()
    words = tuple(parts("four two", ["four", "two"]))
    line.add(SpokenPlaces(0, (0, 0, 4, 4, BEHIND), words, "four two"), 1)
    line.hear(LOUD[:20])
    assert [len(line.marks("word", 0, count)) for count in (0, 124, 125, 500)] == [0, 0, 1, 1]
    line.hear(LOUD[:5])
    assert [len(line.marks("word", 0, count)) for count in (124, 224, 225)] == [0, 1, 2]
    assert line.marks("word", 1, 125) == []
    with pytest.raises(ValueError, match="character"):
        line.marks("words", 0, 0)


@pytest.mark.parametrize(
    ("silent", "marks"),
    [
        ([], [("four", 0, 225), ("two", 225, 425)]),
        (range(0, 7), [("four", 0, 225), ("two", 225, 425)]),  # too short for a pause
        (range(0, 9), [("four", 90, 225), ("two", 225, 425)]),
        (range(10, 25), [("four", 0, 100), ("two", 225, 425)]),
        (range(12, 33), [("four", 0, 120), ("two", 330, 425)]),
        (range(24, 60), [("four", 0, 225), ("two", 225, 425)]),  # a word that cannot be heard
        (range(25, 34), [("four", 0, 225), ("two", 340, 425)]),  # with the end of "four" before it
    ],
)
def test_silence_at_the_edge_of_a_word_is_a_pause(silent, marks):
    line = timeline()
    words = tuple(parts("four two", ["four", "two"]))
    frames = (0, 0, 0, 0, 4, 4, 4, 4, BEHIND, BEHIND)
    line.add(SpokenPlaces(0, frames, words, "four two"), 1)
    line.hear([window in silent for window in range(50)])
    assert said(line) == marks
    for text, start, end in marks:
        assert line.heard_text(start + 1).endswith(text)
        assert line.heard_text(end).endswith(text)
    assert line.heard_text(marks[0][1]) == ""


def test_a_word_in_front_of_which_all_has_been_silent_has_not_begun():
    line = timeline()
    line.add(SpokenPlaces(0, (0, 0, 0, 0), tuple(parts("four", ["four"])), "four"), 1)
    line.hear([True] * 10)
    assert line.heard_text(100) == ""
    line.hear([False] * 5)
    assert line.heard_text(100) == ""
    assert line.heard_text(101) == "four"


def test_pauses_and_other_segments_shift_what_follows():
    line, text = timeline(), "four. two"
    four, two = parts(text, ["four.", "two"])
    line.add(SpokenPlaces(0, (0, 0, BEHIND), (four, END_OF_SEGMENT), "four."), 1, pause=1000)
    # The next segment begins with the end of the speech that it continues.
    line.add(SpokenPlaces(5, (BEFORE, 5, 5, BEHIND), (two, END_OF_SEGMENT), " two"), 2)
    line.finish(1350)
    assert said(line) == [("four.", 0, 125), ("two", 1225, 1325)]


def test_what_was_read_and_not_said_has_no_mark_and_what_goes_on_has_one():
    """A segment was cut within "two": the next one says the rest of it, but "one" again."""
    line, text = timeline(), "four two one nine"
    words = (*parts(text, text.split()), END_OF_SEGMENT)
    line.add(SpokenPlaces(0, (0, 4, 5), words, text), 1)
    line.add(SpokenPlaces(5, (5, 7, 10), ()), 2)
    line.add(SpokenPlaces(10, (10, BEHIND), ()), 3)
    line.finish(400)
    assert said(line) == [("four", 0, 75), ("two", 75, 225), ("one", 225, 275), ("nine", 275, 375)]
    line = timeline()
    line.add(SpokenPlaces(0, (0, 0), words, text), 1)
    line.add(SpokenPlaces(10, (10, BEHIND), ()), 2)
    line.hear(LOUD)
    assert [word for word, *_ in said(line)] == ["four", "nine"]


def test_all_of_a_segment_that_was_completed_has_been_said():
    """Its last word may be too short for a frame."""
    line, text = timeline(), "seven I"
    line.add(SpokenPlaces(0, (0, 0), (*parts(text, text.split()), END_OF_SEGMENT), text, 6), 1)
    line.finish(100)
    assert said(line) == [("seven", 0, 100), ("I", 100, 100)]
    assert line.heard_text(99) == "seven"
    assert line.heard_text(100) == text


@pytest.mark.parametrize(
    ("num_samples", "heard"),
    [
        (0, ""),
        (1, '"Four,"'),
        (124, '"Four,"'),
        (126, '"Four,"  **two**.'),
        (500, '"Four,"  **two**. '),
    ],
)
def test_heard_text_is_the_fed_text_up_to_the_word_that_has_begun(num_samples, heard):
    line, text = timeline(), '"Four,"  **two**. '
    line.add(SpokenPlaces(0, (0, 0, 4), tuple(parts(text, ["Four", "two"])), text), 1)
    if num_samples == 500:
        line.finish(500)
    assert line.heard_text(num_samples) == heard


def test_speech_that_ends_before_its_text_has_not_said_all_of_it():
    line = timeline()
    line.add(SpokenPlaces(0, (0, 0), tuple(parts("four two", ["four", "two"])), "four two"), 1)
    line.finish(100)
    assert line.heard_text(100) == "four"
