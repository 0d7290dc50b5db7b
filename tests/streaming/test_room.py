"""Nothing is said that is longer, its prompt included, than what a model was trained on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.config import SpeechLlamaConfig
from sled.decoding import DecodingOptions
from sled.layout import Layout
from sled.streaming.room import Room, max_prompt_frames
from sled.streaming.track import Track
from sled.tts import TTS, Prompt
from tests.debug import (
    HOP,
    LAYOUT_IDS,
    LAYOUTS,
    SAMPLE_RATE,
    debug_codec,
    debug_model,
    debug_tokenizer,
    debug_waveform,
)

SENTENCE = "Four two seven one. "
# Each token is said in as many frames as any other, and so is a segment of a text.
PACE = 6
OPTIONS = DecodingOptions(stop_threshold=1e-9, length_tolerance=1.0, cfg=1.0)
TRAINED = 200
both_layouts = pytest.mark.parametrize("layout", LAYOUTS, ids=LAYOUT_IDS)


def debug_tts(**changes: object) -> TTS:
    lengths = {"min_frames_per_token": PACE, "max_frames_per_token": PACE}
    sizes = {"trained_frames": TRAINED, "max_position_embeddings": 8192}
    return TTS(debug_model(**(lengths | sizes | changes)), debug_tokenizer(), debug_codec())


def prompt_of(num_frames: int) -> Prompt:
    return Prompt("one", debug_waveform(num_frames * HOP / SAMPLE_RATE))


@pytest.fixture
def lengths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Frames of each sequence that the model has spoken: those it continued, and its own."""
    found: list[int] = []
    end = Track._end_segment

    def record(track: Track, *arguments: object) -> None:
        position = track._position
        found.append(sum(len(one.latents) for one in position.past) + len(position.frames))
        end(track, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Track, "_end_segment", record)
    return found


@both_layouts
@pytest.mark.parametrize("prompt_frames", [0, 45, 130])
@pytest.mark.parametrize("live", [False, True], ids=["whole", "live"])
def test_however_long_a_text_no_sequence_is_longer_than_in_training(
    layout, prompt_frames, live, lengths
):
    tts = debug_tts(**layout)
    prompt = prompt_of(prompt_frames) if prompt_frames else None
    if live:
        with tts.open_session(voice=prompt, options=OPTIONS, max_ahead_s=None) as session:
            session.feed(8 * SENTENCE)
            session.flush()
            num_samples = sum(map(len, session))
    else:
        num_samples = len(tts.say(8 * SENTENCE, prompt=prompt, options=OPTIONS).audio)
    assert len(lengths) > 1
    assert max(lengths) <= TRAINED
    # It is all there: each segment has an <s>, unless it continues something, and an </s>.
    num_tokens = len(tts.tokenizer.encode(8 * SENTENCE))
    assert num_samples >= HOP * PACE * (num_tokens - 1)


def test_a_text_of_the_length_of_training_is_said_in_one_piece(lengths):
    tts = debug_tts()
    text = (4 * SENTENCE).strip()
    frames = PACE * len(tts.tokenizer.encode(text))
    for trained, whole in ((frames, True), (frames - 1, False)):
        lengths.clear()
        debug_tts(trained_frames=trained).say(text, options=OPTIONS)
        assert (lengths == [frames]) == whole
    # With a voice there is less room.
    lengths.clear()
    debug_tts(trained_frames=frames).say(text, prompt=prompt_of(30), options=OPTIONS)
    assert len(lengths) > 1


def test_without_a_voice_a_segment_continues_the_one_before(lengths):
    """A model that knows many voices would else begin each segment in another one."""
    debug_tts(trained_frames=80).say(6 * SENTENCE, options=OPTIONS)
    own = PACE * 2  # a segment has at least a word and an </s>
    assert len(lengths) > 2
    assert all(length > own for length in lengths[1:])


def test_checkpoints_that_do_not_tell_say_a_text_in_one_piece(lengths):
    debug_tts(trained_frames=None).say(8 * SENTENCE, options=OPTIONS)
    assert len(lengths) == 1


def test_a_prompt_may_take_two_thirds_of_the_length_of_training():
    tts = debug_tts(trained_frames=300)
    assert tts.max_prompt_s == pytest.approx(200 * HOP / SAMPLE_RATE)
    assert len(tts.make_voice(prompt_of(200)).latents) == 200
    message = "lasts 2.7 s, and the model was trained on no more than 4.0 s .* at most 2.7 s"
    with pytest.raises(ValueError, match=message):
        tts.make_voice(prompt_of(201))
    assert debug_tts(trained_frames=None).max_prompt_s is None


@given(
    trained=st.integers(60, 5000),
    share=st.floats(0, 1),
    low=st.floats(0.5, 5),
    ratio=st.floats(1, 4),
    layout=st.sampled_from([Layout(), Layout(5, 45), Layout(12, 11)]),
)
def test_a_segment_and_what_it_continues_fit_together(trained, share, low, ratio, layout):
    config = SpeechLlamaConfig(
        trained_frames=trained,
        min_frames_per_token=low,
        max_frames_per_token=low * ratio,
        max_position_embeddings=100_000,
    )
    longest = max_prompt_frames(config)
    assert longest is not None
    prompt = int(share * longest)
    room = Room(config, DecodingOptions(), layout, prompt, prompt and prompt + 1)
    limits = room.segment_limits()
    assert prompt <= room.past_frames + 1e-6
    usual = low * (1 + ratio) / 2
    if limits.limit > 2:  # the fewest that there can be
        assert room.past_frames + usual * (limits.limit + 2) <= trained + 1e-6
        assert room.holds(limits.limit + 2)
