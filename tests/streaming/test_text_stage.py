"""The text stage gives the same segments however text is fed, and not too far ahead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.normalization import normalize
from sled.streaming.text_stage import MAX_SEGMENTS_AHEAD, TextEvent, TextStage
from sled.text.segments import SegmentLimits, split_segments
from sled.text.tokenizer import TextTokenizer
from tests.debug import debug_tokenizer

LIMITS = SegmentLimits(target=6, limit=14)
TEXT = "Four two seven. One nine seven two! Seven, two four one nine. Two one 12. Nine four? Seven."


class Runner:
    """Receives the events, and takes segments when told to."""

    def __init__(self) -> None:
        self.events: list[TextEvent] = []
        self.num_taken = 0

    @property
    def segments(self) -> list[str]:
        found = [""]
        for event in self.events:
            found[-1] += event.text
            if event.ends_segment and not event.ends_text:
                found.append("")
        return found

    @property
    def num_ends(self) -> int:
        return sum(event.ends_segment for event in self.events)


def stage_for(
    runner: Runner, tokenizer: TextTokenizer | None = None, limits: SegmentLimits = LIMITS
) -> TextStage:
    tokenizer = tokenizer or debug_tokenizer()
    return TextStage(tokenizer, limits, runner.events.append, lambda: runner.num_taken)


def english_tokenizer() -> TextTokenizer:
    plain = debug_tokenizer()
    return TextTokenizer(plain._tokenizer.model, "english")


def work(stage: TextStage, runner: Runner) -> None:
    """Let the stage work while the runner takes every segment as soon as it is complete."""
    while True:
        if not stage.work():
            if runner.num_taken == runner.num_ends:
                return
            runner.num_taken = runner.num_ends


@given(st.lists(st.integers(0, len(TEXT)), max_size=8).map(sorted))
def test_any_cut_of_the_text_gives_the_same_segments(cuts):
    runner = Runner()
    stage = stage_for(runner)
    for start, stop in zip([0, *cuts], [*cuts, len(TEXT)], strict=True):
        stage.feed(TEXT[start:stop], 0.0)
        work(stage, runner)
    stage.end(0.0)
    work(stage, runner)
    assert runner.segments == split_segments(TEXT, LIMITS, debug_tokenizer().count)
    assert len(runner.segments) > 2
    assert runner.events[-1].ends_text


def test_segments_are_normalised_one_by_one():
    runner = Runner()
    stage = stage_for(runner, english_tokenizer(), SegmentLimits(40, 80))
    stage.feed("It cost $5", 0.0)
    work(stage, runner)
    assert "five" not in "".join(runner.segments)  # million may follow
    stage.feed(" million. Then 7.", 0.0)
    stage.end(0.0)
    work(stage, runner)
    spoken = " ".join(" ".join(runner.segments).split())
    assert spoken == normalize("It cost $5 million. Then 7.", "english")


@pytest.mark.parametrize("text", ["seven four two one nine two one four two", "one[pause]two"])
@given(st.lists(st.integers(0, 40), max_size=8).map(sorted))
def test_words_on_two_sides_of_a_joint_are_apart(text, cuts):
    runner = Runner()
    stage = stage_for(runner, english_tokenizer(), SegmentLimits(4, 8, word=2, cut=30))
    for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True):
        stage.feed(text[start:stop], 0.0)
        work(stage, runner)
    stage.end(0.0)
    work(stage, runner)
    assert len(runner.segments) > 1
    assert "".join(runner.segments) == text.replace("[pause]", " ")


def test_the_stage_does_not_run_far_ahead_of_the_runner():
    runner = Runner()
    stage = stage_for(runner)
    stage.feed(40 * TEXT, 0.0)
    stage.end(0.0)
    for _ in range(1000):
        stage.work()
    # A slice of text is processed as a whole, so there may be some segments more.
    ahead = runner.num_ends
    assert MAX_SEGMENTS_AHEAD <= ahead < len(split_segments(40 * TEXT, LIMITS)) / 2
    runner.num_taken = ahead
    stage.work()
    assert runner.num_ends > ahead


def test_a_piece_tells_when_its_text_was_fed():
    runner = Runner()
    stage = stage_for(runner)
    stage.feed("four ", 1.0)
    stage.feed("two", 2.0)
    work(stage, runner)
    assert {event.at_s for event in runner.events} == {1.0, 2.0}


MARKED = (
    "<speak>Four <b>two</b> seven. [pause:0.5s] One &amp; nine\n\n"
    "**seven** [two](http://a.b/c) \ud83d\ude00! "
    "... <break time='1s'/> Seven, `two` four (<sub alias='one'>1</sub>) nine.</speak>"
)


@given(st.lists(st.integers(0, len(MARKED)), max_size=8).map(sorted))
def test_words_come_from_their_letters_in_the_fed_text_and_pauses_end_segments(cuts):
    runner = Runner()
    stage = stage_for(runner)
    for start, stop in zip([0, *cuts], [*cuts, len(MARKED)], strict=True):
        stage.feed(MARKED[start:stop], 0.0)
        work(stage, runner)
    stage.end(0.0)
    work(stage, runner)
    fed = MARKED.encode("utf-16", "surrogatepass").decode("utf-16")  # a pair is one character
    said = "".join(runner.segments)
    right = "Four two seven. One & nine seven two \U0001f600! Seven, two four (one) nine."
    assert " ".join(said.split()) == right
    for word in (word for event in runner.events for word in event.words):
        if word.text.strip() in ("two", "seven.", "nine", "seven", "Seven,", "four", "nine."):
            assert fed[word.start : word.end].strip("`*") in word.text
        if "one" in word.text:
            assert fed[word.start : word.end] == "1"
    pauses, number = [], 0
    for event in runner.events:
        if event.pause_s:
            before = "".join(runner.segments[: number + 1])
            pauses.append((before.split()[-1], event.pause_s))
        number += event.ends_segment
    assert pauses == [("seven.", 0.5), ("\U0001f600!", 1.0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "blank"),
        (" \n", "blank"),
        ("...", "no word that this model knows: '...'"),
        ('"', "no word"),
        ("\U0001f600\U0001f600", "no word"),
        ("<br> <b></b>", "blank"),
    ],
)
def test_a_text_without_a_word_is_refused(text, message):
    runner = Runner()
    stage = stage_for(runner)
    stage.feed(text, 0.0)
    stage.end(0.0)
    with pytest.raises(ValueError, match=message):
        work(stage, runner)


def test_a_segment_of_marks_alone_is_left_out():
    runner = Runner()
    stage = stage_for(runner)
    stage.feed('... [pause:1s] "!" [pause:1s] "Seven." ', 0.0)
    work(stage, runner)
    assert runner.segments == ["", "", ' "Seven." ']


def test_without_markup_all_is_text():
    runner = Runner()
    stage = TextStage(debug_tokenizer(), LIMITS, runner.events.append, lambda: 0, markup=False)
    stage.feed("<b>seven</b>", 0.0)
    stage.work()
    assert "".join(runner.segments) == "<b>seven</b>"


def test_a_pause_has_a_limit(caplog):
    runner = Runner()
    stage = stage_for(runner)
    stage.feed("One [pause:99s] two.", 0.0)
    work(stage, runner)
    assert max(event.pause_s for event in runner.events) == 10
    assert "99 s becomes one of 10 s" in caplog.text


@given(st.integers(0, len(TEXT)))
def test_a_saved_stage_goes_on_as_it_would_have(cut):
    whole, first, second = Runner(), Runner(), Runner()
    stage = stage_for(whole)
    stage.feed(TEXT, 0.0)
    stage.end(0.0)
    work(stage, whole)
    stage = stage_for(first)
    stage.feed(TEXT[:cut], 0.0)
    state = stage.save()  # nothing has been processed yet, or all
    work(stage, first)
    for saved, before in ((state, []), (stage.save(), first.events)):
        second.events, second.num_taken = list(before), len(before) and first.num_taken
        resumed = stage_for(second)
        resumed.restore(saved)
        resumed.feed(TEXT[cut:], 0.0)
        resumed.end(0.0)
        work(resumed, second)
        assert second.segments == whole.segments
