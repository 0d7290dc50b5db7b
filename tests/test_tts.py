"""From text to audio: prompts of every kind, and parts that do not fit together."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import soxr
import torch

from sled import TTS, DecodingOptions, Prompt
from sled.model.layout import Layout
from tests.debug import (
    GOLDENS,
    HOP,
    LAYOUT_IDS,
    LAYOUTS,
    SAMPLE_RATE,
    STREAM,
    debug_checkpoint,
    debug_codec,
    debug_model,
    debug_prompt,
    debug_tokenizer,
    debug_waveform,
)

NEVER = 2.0
# Rows of a batch, and memory that lies elsewhere, are rounded otherwise: by far less than is heard.
TOLERANCE = {"rtol": 0, "atol": 1e-5}
SIX_FRAMES = DecodingOptions(stop_threshold=NEVER, max_frames=6)


def debug_tts(**changes: object) -> TTS:
    return TTS(debug_model(**changes), debug_tokenizer(), debug_codec())


def prompt_frames(tts: TTS, audio: object) -> int:
    """Frames that a prompt takes up: what it leaves of a fixed number of positions."""
    options = DecodingOptions(stop_threshold=NEVER, max_length=150)
    speech = tts.say("one", prompt=debug_prompt("four", audio), options=options)
    return 150 - len(tts.tokenizer.encode("four one")) - len(speech.units)


# Speaking.


@pytest.mark.parametrize("layout", LAYOUTS, ids=LAYOUT_IDS)
def test_a_text_sounds_the_same_alone_and_in_a_batch(layout):
    tts, texts = debug_tts(**layout), ["four two seven", "one", "nine one one"]
    options = DecodingOptions(stop_threshold=0.6, max_frames=30, min_frames=2)
    together = tts.synthesize(texts, seeds=5, options=options)
    for row, (text, speech) in enumerate(zip(texts, together, strict=True)):
        alone = tts.say(text, seed=5 + row, options=options)
        assert alone.stopped == speech.stopped
        np.testing.assert_allclose(speech.audio, alone.audio, **TOLERANCE)


def test_speech_is_the_decoded_latents():
    speech = debug_tts().say("one", options=SIX_FRAMES)
    assert speech.units.shape == (6, 32)
    assert speech.audio.shape == (6 * HOP,)
    assert speech.audio.dtype == np.float32
    assert speech.seconds == 6 * HOP / SAMPLE_RATE
    assert not speech.stopped
    decoded = debug_codec().decode(speech.units[None])[0]
    np.testing.assert_allclose(speech.audio, decoded, **TOLERANCE)


def test_speech_can_be_saved(tmp_path):
    speech = debug_tts().say("one", options=SIX_FRAMES)
    speech.save(tmp_path / "out.flac")
    samples, rate = soundfile.read(tmp_path / "out.flac")
    assert rate == SAMPLE_RATE
    scale = max(1.0, np.abs(speech.audio).max())  # what is too loud is turned down as a whole
    np.testing.assert_allclose(samples, speech.audio / scale, atol=1e-4)


def test_a_model_that_stops_at_once_says_nothing():
    speech = debug_tts().say("one", options=DecodingOptions(stop_threshold=1e-9))
    assert (speech.stopped, speech.seconds, len(speech.units)) == (True, 0.0, 0)


def test_the_stop_frame_is_not_heard():
    options = DecodingOptions(stop_threshold=1e-9, min_frames=4)
    speech = debug_tts().say("one", options=options)
    assert speech.stopped
    assert len(speech.audio) == 4 * HOP


def test_seeds_decide_the_reading():
    tts = debug_tts()
    one, two, again = tts.synthesize(["one"] * 3, seeds=[1, 2, 1], options=SIX_FRAMES)
    torch.testing.assert_close(one.units, again.units, **TOLERANCE)
    assert not torch.allclose(one.units, two.units, **TOLERANCE)


def test_the_layout_can_be_chosen_for_the_call():
    streaming, offline = debug_tts(**STREAM), debug_tts()
    ours = streaming.synthesize(["four two seven"], options=SIX_FRAMES, layout=Layout())[0]
    theirs = offline.say("four two seven", options=SIX_FRAMES)
    torch.testing.assert_close(ours.units, theirs.units, **TOLERANCE)


def test_half_precision_still_decodes_in_float32():
    tts = TTS(debug_model().bfloat16(), debug_tokenizer(), debug_codec())
    prompt = debug_prompt("four", debug_waveform(0.1))
    speech = tts.say("one", prompt=prompt, options=SIX_FRAMES)
    assert speech.audio.dtype == np.float32
    assert len(speech.audio) == 6 * HOP


# Prompts.


@pytest.mark.parametrize("layout", LAYOUTS, ids=LAYOUT_IDS)
def test_a_prompt_is_continued_and_not_repeated(layout):
    """The codec hears the prompt before the new frames; of its output only those are kept."""
    tts, waveform = debug_tts(**layout), debug_waveform(0.2)
    speech = tts.say("one", prompt=debug_prompt("four", waveform), options=SIX_FRAMES)
    codes = tts.codec.encode([torch.from_numpy(waveform)])[0]
    prompt = tts.codec.codes_to_units(codes)
    assert prompt.shape == (15, 32)
    audio = tts.codec.decode(torch.cat((prompt, speech.units))[None])[0]
    np.testing.assert_allclose(speech.audio, audio[15 * HOP :], **TOLERANCE)
    # And it is heard: without it, the same text and seed give other frames.
    alone = tts.say("four one", options=SIX_FRAMES)
    assert not torch.allclose(alone.units, speech.units, **TOLERANCE)


@pytest.mark.parametrize("frames", [1, 7, 30])
@pytest.mark.parametrize("beyond", [0, 1, HOP - 1])
def test_a_prompt_takes_a_frame_for_every_started_hop(frames, beyond):
    loud = debug_waveform(0.5)[5000:]  # past the fade-in
    samples = np.resize(loud, (frames - 1) * HOP + 1 + beyond)
    assert prompt_frames(debug_tts(), samples) == frames


@pytest.mark.parametrize(
    ("suffix", "rate", "channels"),
    [(".wav", 16_000, 2), (".flac", 44_100, 1), (".ogg", 48_000, 2), (".wav", 8_000, 1)],
)
def test_a_prompt_may_have_any_format_rate_and_channels(suffix, rate, channels, tmp_path):
    path = tmp_path / f"voice{suffix}"
    samples = debug_waveform(0.4, sample_rate=rate)
    soundfile.write(path, np.stack([samples] * channels, axis=1), rate)
    tts = debug_tts()
    assert prompt_frames(tts, path) == prompt_frames(tts, str(path)) == 30


def test_a_prompt_from_a_file_equals_one_from_memory(tmp_path):
    """Float WAV keeps every bit; two channels are averaged and the rate changed by soxr."""
    left, right = debug_waveform(0.3, 1, 48_000), debug_waveform(0.3, 2, 48_000)
    soundfile.write(tmp_path / "voice.wav", np.stack([left, right], 1), 48_000, subtype="FLOAT")
    mono = soxr.resample((left + right) / 2, 48_000, SAMPLE_RATE)
    tts = debug_tts()
    from_file, from_memory = (
        tts.say("one", prompt=debug_prompt("four", audio), options=SIX_FRAMES)
        for audio in (tmp_path / "voice.wav", mono)
    )
    np.testing.assert_allclose(from_file.audio, from_memory.audio, atol=1e-4)


def test_each_text_of_a_batch_may_have_its_own_prompt():
    tts = debug_tts()
    prompts = [
        debug_prompt("four", debug_waveform(0.1)),
        None,
        debug_prompt("two", debug_waveform(0.2, 1)),
    ]
    together = tts.synthesize(["one", "one", "one"], prompts=prompts, options=SIX_FRAMES)
    for row, (prompt, speech) in enumerate(zip(prompts, together, strict=True)):
        alone = tts.say("one", prompt=prompt, seed=row, options=SIX_FRAMES)
        np.testing.assert_allclose(speech.audio, alone.audio, **TOLERANCE)


# Guidance.


@pytest.mark.parametrize(
    ("stated", "used", "warned"),
    [
        ({"speaking_cfg": 1.0}, 2.0, True),
        ({"speaking_cfg": 1.0}, 1.2, False),
        ({"speaking_cfg": 2.0}, 2.0, False),
        ({"distilled_cfg": 2.0}, 2.0, True),  # guidance is in its weights
        ({}, 1.0, False),  # nothing is recommended
    ],
)
def test_guidance_far_from_the_models_own_is_warned_of_once(stated, used, warned, caplog):
    tts = debug_tts(**stated)
    options = replace(SIX_FRAMES, cfg=used)
    for _ in range(2):
        tts.say("one", options=options)
        with tts.open_session(decoding=options):
            pass
    assert sum("far from" in message for message in caplog.messages) == warned


# What is refused.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda tts: tts.say(" \n"), "the text is blank"),
        (lambda tts: tts.say(None), "the text is None: give a str"),
        (lambda tts: tts.synthesize(["one", 5]), "the text is 5"),
        (lambda tts: tts.say(b"one"), "bytes: decode it first"),
        (lambda tts: tts.synthesize(None), "give a list of str"),
        (lambda tts: tts.say("... !? 😀"), "no word that this model knows: '... !\\? 😀'"),
        (lambda tts: tts.say("one", seed=1.5), "seed=1.5: give a whole number"),
        (lambda tts: tts.say("one", options={"cfg": 2}), "give DecodingOptions"),
        (lambda tts: tts.say("one", layout="stream"), "give a Layout"),
        (lambda tts: tts.say("one", prompt="voice.wav"), r"give Prompt\(text, audio\)"),
        (lambda tts: tts.open_session(voice="voice.wav"), r"give Prompt\(text, audio\)"),
        (lambda tts: tts.open_session(layout="stream"), "give a Layout"),
        (lambda tts: tts.synthesize("one"), "list of texts"),
        (lambda tts: tts.synthesize([]), "no text to speak"),
        (lambda tts: tts.synthesize(["one"], seeds=[1, 2]), "1 texts, 2 seeds"),
        (lambda tts: tts.say("one", options=DecodingOptions(max_length=3)), "the text is too long"),
        (lambda tts: tts.say("one", options=DecodingOptions(max_length=0)), "max_length=0 must be"),
        (lambda tts: tts.say("one", prompt=Prompt(" ", "a.wav")), "the prompt has no text"),
        (lambda tts: tts.say("one", prompt=Prompt("a", "none.wav")), "no audio file at none.wav"),
        (lambda tts: tts.say("one", prompt=Prompt("a", np.zeros((9, 9)))), "must be mono"),
        (lambda tts: tts.say("one", prompt=Prompt("a", np.zeros(0))), "holds no audio"),
        (lambda tts: tts.say("one", prompt=Prompt("a", np.zeros(99))), "is silent"),
    ],
)
def test_what_cannot_be_said_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(debug_tts())


@pytest.mark.parametrize("markup", [True, False])
def test_half_of_a_surrogate_pair_is_a_character_like_others(markup):
    """It can come from JSON, and no tokenizer takes it."""
    tts, options = debug_tts(), DecodingOptions(max_frames=9)
    voice = tts.make_voice(Prompt("o\ud800ne", debug_waveform(1.0)))
    assert voice.transcript == "o\ufffdne"
    assert tts.say("o\ud800ne", prompt=voice, options=options, markup=markup).seconds > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vae_embed_dim": 16}, r"shape \[32\] at 75 a second, the model units of shape \[16\]"),
        ({"frame_rate": 50.0}, r"the model units of shape \[32\] at 50"),
        ({"vocab_size": 260}, "the model 260: use the tokenizer"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        debug_tts(**changes)


# Loading.


def test_a_checkpoint_speaks_as_the_model_it_was_saved_from(tmp_path):
    tts = TTS.from_pretrained(debug_checkpoint(tmp_path / "model", **STREAM))
    theirs, ours = (t.say("one", options=SIX_FRAMES) for t in (debug_tts(**STREAM), tts))
    np.testing.assert_allclose(ours.audio, theirs.audio, **TOLERANCE)


def test_the_codec_is_found_in_or_beside_the_checkpoint_or_named(tmp_path):
    folder = debug_checkpoint(tmp_path / "model")
    expected = TTS.from_pretrained(folder).say("one", options=SIX_FRAMES).audio
    shutil.move(folder / "codec", tmp_path / "codec")
    beside = TTS.from_pretrained(str(folder)).say("one", options=SIX_FRAMES).audio
    shutil.move(tmp_path / "codec", tmp_path / "elsewhere")
    named = TTS.from_pretrained(folder, codec=tmp_path / "elsewhere")
    np.testing.assert_allclose(beside, expected, **TOLERANCE)
    np.testing.assert_allclose(named.say("one", options=SIX_FRAMES).audio, expected, **TOLERANCE)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_dtype_is_the_models_alone(dtype, tmp_path):
    tts = TTS.from_pretrained(debug_checkpoint(tmp_path / "model"), dtype=dtype)
    assert tts.model.dtype == getattr(torch, dtype)
    assert tts.say("one", options=SIX_FRAMES).audio.dtype == np.float32


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        (["config.json"], "it lacks config.json"),
        (["model.safetensors"], "it lacks model.safetensors"),
        (["config.json", "model.safetensors"], "it lacks config.json and model.safetensors"),
        (["vocab.json"], "lacks vocab.json"),
    ],
)
def test_an_incomplete_checkpoint_is_named_with_what_it_lacks(lost, message, tmp_path):
    folder = debug_checkpoint(tmp_path / "model")
    for name in lost:
        (folder / name).unlink()
    with pytest.raises(ValueError, match=message):
        TTS.from_pretrained(folder)


@pytest.mark.parametrize("name", ["/no/such/folder", "./nothing", "nobody/nothing", "a/b/c/d"])
def test_a_checkpoint_that_is_nowhere_is_refused(name):
    with pytest.raises(ValueError, match="no checkpoint"):
        TTS.from_pretrained(name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dtype": "int3"}, "dtype='int3'"),
        ({"codec": "/no/such/codec"}, "codec"),
        ({"name_or_path": GOLDENS / "codec"}, "unknown configuration keys|model_type"),
    ],
)
def test_unusable_arguments_are_refused(arguments, message, tmp_path):
    arguments = {"name_or_path": debug_checkpoint(tmp_path / "model")} | arguments
    with pytest.raises(ValueError, match=message):
        TTS.from_pretrained(**arguments)
