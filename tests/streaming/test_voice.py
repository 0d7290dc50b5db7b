"""Voices: prepared once, saved and loaded, and refused by models they were not made for."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sled.decoding import DecodingOptions
from sled.model.layout import Layout
from sled.streaming.voice import Voice
from sled.streaming.voice_maker import MAX_VOICES_KEPT
from sled.text.tokenizer import TextTokenizer
from sled.tts import TTS
from tests.debug import (
    LAYOUT_IDS,
    LAYOUTS,
    STREAM,
    debug_codec,
    debug_model,
    debug_prompt,
    debug_tokenizer,
    debug_waveform,
)

PROMPT = debug_prompt("one four", debug_waveform(0.3))
OPTIONS = DecodingOptions(stop_threshold=2.0, max_frames=10)


def debug_tts(seed: int = 0, **changes: object) -> TTS:
    return TTS(debug_model(seed, **changes), debug_tokenizer(), debug_codec())


@pytest.mark.parametrize("layout", LAYOUTS, ids=LAYOUT_IDS)
@pytest.mark.parametrize("cfg", [1.0, 2.0])
def test_a_voice_file_speaks_as_the_recording_does(layout, cfg, tmp_path):
    tts = debug_tts(**layout)
    options = DecodingOptions(stop_threshold=2.0, max_frames=10, cfg=cfg)
    tts.save_voice(tts.make_voice(PROMPT), tmp_path / "voice.safetensors")
    tts = debug_tts(**layout)  # as in another program
    voice = tts.load_voice(tmp_path / "voice.safetensors")
    assert voice.text == PROMPT.text
    spoken = tts.say("two seven", prompt=voice, options=options)
    expected = tts.say("two seven", prompt=PROMPT, options=options)
    np.testing.assert_allclose(spoken.audio, expected.audio, atol=1e-5)


def test_a_voice_can_be_made_for_either_layout(tmp_path):
    tts = debug_tts(**STREAM)
    tts.save_voice(tts.make_voice(PROMPT, Layout()), tmp_path / "voice.safetensors")
    voice = tts.load_voice(tmp_path / "voice.safetensors")
    assert voice.layout.is_offline
    spoken, expected = (
        tts.synthesize(["two"], prompts=one, options=OPTIONS, layout=Layout())[0].audio
        for one in (voice, PROMPT)
    )
    np.testing.assert_allclose(spoken, expected, atol=1e-5)


def test_a_voice_of_another_model_codec_or_precision_is_refused(tmp_path):
    path = tmp_path / "voice.safetensors"
    tts = debug_tts()
    tts.save_voice(tts.make_voice(PROMPT), path)
    other_weights, other_precision = debug_tts(seed=1), debug_tts()
    other_precision.model.bfloat16()
    for other in (other_weights, other_precision):
        with pytest.raises(ValueError, match="another model"):
            other.load_voice(path)
    tokenizer = TextTokenizer.train(["on e fo ur"] * 3, 300)
    other_tokenizer = TTS(debug_model(), tokenizer, debug_codec())
    with pytest.raises(ValueError, match="another tokenizer"):
        other_tokenizer.load_voice(path)
    other_codec = debug_tts()
    other_codec.codec.digest = lambda: "another"
    with pytest.raises(ValueError, match="another codec"):
        other_codec.load_voice(path)
    del other_codec.codec.digest  # the builder shares its codec


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no voice file at"),
        (lambda path: path.write_text("rubbish"), "not a readable voice file"),
        (lambda path: save_file({"latents": torch.zeros(1, 32)}, path), "is not a voice file"),
        (
            lambda path: save_file(
                {"latents": torch.zeros(1, 32)}, path, {"format": "sled-voice-1"}
            ),
            "of another version",
        ),
    ],
)
def test_what_is_no_voice_file_is_refused(make, message, tmp_path):
    path: Path = tmp_path / "voice.safetensors"
    make(path)
    with pytest.raises(ValueError, match=message):
        debug_tts().load_voice(path)


def test_a_voice_in_memory_is_refused_by_other_models_and_layouts():
    tts, other = debug_tts(**STREAM), debug_tts(seed=1, **STREAM)
    voice = tts.make_voice(PROMPT)
    with pytest.raises(ValueError, match="another model"):
        other.open_session(voice=voice)
    with pytest.raises(ValueError, match="prepared for"):
        tts.open_session(voice=voice, layout=Layout())


def test_a_voice_that_leaves_no_room_for_speech_is_refused():
    tts = debug_tts(**STREAM)
    voice = tts.make_voice(debug_prompt("one", debug_waveform(3.2)))
    with pytest.raises(ValueError, match="too long"):
        tts.open_session(voice=voice)


def test_a_prompt_too_long_for_the_model_is_refused():
    with pytest.raises(ValueError, match="too long"):
        debug_tts().make_voice(debug_prompt("one", debug_waveform(4.0)))


def test_the_same_prompt_is_prepared_once_and_the_oldest_are_forgotten(monkeypatch):
    tts, prepared = debug_tts(), []

    def prepare(*args: object, **others: object) -> Voice:
        prepared.append(args)
        return original(*args, **others)

    original = Voice.prepare
    monkeypatch.setattr(Voice, "prepare", prepare)
    copies = [debug_prompt(" one  four", PROMPT.audio.copy()) for _ in range(3)]  # equal in content
    assert len({id(tts.make_voice(copy)) for copy in copies}) == 1
    assert len(prepared) == 1
    for number in range(MAX_VOICES_KEPT):
        tts.make_voice(debug_prompt(f"one {number}", PROMPT.audio))
    tts.make_voice(PROMPT)
    assert len(prepared) == 1 + MAX_VOICES_KEPT + 1
