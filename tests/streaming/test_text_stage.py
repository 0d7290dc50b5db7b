"""The text stage gives the same segments however text is fed, and not too far ahead."""

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
