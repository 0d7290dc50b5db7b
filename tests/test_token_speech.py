"""Speech by language model, flow and vocoder: texts, pieces of text, and all kinds of voices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sled import TTS, Prompt
from sled.codec.folder import CodecParts
from sled.codec.speaker.encoder import NetworkSpeakerEncoder
from sled.codec.speaker.network import SpeakerNetwork, SpeakerSizes
from sled.codec.speech_tokens.files import load_speech_tokenizer
from sled.codec.token_codec.model import PROMPT_MEL, PROMPT_TOKENS, SPEAKER, TokenCodec
from sled.model.tokens.cosyvoice2 import CosyVoice2LM
from sled.model.tokens.files import save_token_lm
from tests.codec.token_codec.models import token_networks
from tests.commands import run
from tests.debug import GOLDENS, debug_prompt, debug_waveform, randn
from tests.tokens import debug_cosyvoice2, debug_token_tokenizer, with_random_weights

TEXT = "four two seven"


@pytest.fixture(scope="module")
def model() -> CosyVoice2LM:
    sizes = replace(debug_cosyvoice2().sizes, speech_token_size=81, frame_rate=25.0)
    model = with_random_weights(CosyVoice2LM(sizes), 3)
    assert isinstance(model, CosyVoice2LM)
    model.config.speaking.max_frames_per_token = 6.0  # otherwise it speaks for long
    return model


@pytest.fixture(scope="module")
def codec() -> TokenCodec:
    torch.manual_seed(0)
    sizes = SpeakerSizes(
        embedding_size=16, growth_rate=4, bn_size=2, init_channels=8, block_layers=(2, 1, 1)
    )
    networks = replace(
        token_networks(),
        tokenizer=load_speech_tokenizer(GOLDENS / "token-data" / "s3_v1_25hz"),
        speaker_encoder=NetworkSpeakerEncoder(SpeakerNetwork(sizes)),
        speakers={"ann": randn(16, seed=1), "ben": randn(16, seed=2)},
    )
    return TokenCodec(networks)


@pytest.fixture(scope="module")
def tts(model: CosyVoice2LM, codec: TokenCodec) -> TTS:
    return TTS(model, debug_token_tokenizer(model), codec)


def relative_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    assert ours.shape == theirs.shape
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def test_speech_is_what_the_codec_makes_of_the_tokens(tts: TTS) -> None:
    speech = tts.say(TEXT, seed=1)
    assert len(speech.units) > 5
    decoded = tts.codec.decode(speech.units[None])[0].numpy()
    assert relative_error(speech.audio, decoded) < 1e-5
    assert (tts.say(TEXT, seed=1).audio == speech.audio).all()
    assert len(tts.say(TEXT, seed=2).audio) != len(speech.audio)


def test_texts_of_a_batch_sound_as_they_do_alone(tts: TTS) -> None:
    texts, seeds = [TEXT, "one four nine", "seven"], [1, 2, 3]
    for text, seed, together in zip(texts, seeds, tts.synthesize(texts, seeds=seeds), strict=True):
        alone = tts.say(text, seed=seed)
        assert together.units.equal(alone.units)
        assert relative_error(together.audio, alone.audio) < 1e-2  # phases sum rounding errors


def test_text_in_pieces_gives_audio_in_pieces(tts: TTS, model: CosyVoice2LM) -> None:
    layout = model.sizes.streaming_layout
    whole = tts.say(TEXT, seed=1, layout=layout)
    with tts.open_session(seed=1, layout=layout) as session:
        for piece in ("four t", "wo seve", "n"):
            session.feed(piece)
        session.flush()
        pieces = list(session)
    assert len(pieces) > 1
    assert relative_error(np.concatenate(pieces), whole.audio) < 1e-5


def conditions(one: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value[None] for name, value in one.items()}


def test_a_voice_of_a_recording_is_read_by_the_model_and_continued_by_the_flow(
    tts: TTS, codec: TokenCodec, tmp_path: Path
) -> None:
    recording = debug_waveform(1.0)
    voice = tts.make_voice(debug_prompt("one four nine", recording))
    speech = tts.say(TEXT, seed=1, prompt=voice)
    assert not speech.units[:20].equal(tts.say(TEXT, seed=1).units[:20])
    units = codec.codes_to_units(codec.encode([torch.from_numpy(recording)])[0])
    given = codec.conditions_of(torch.from_numpy(recording), units)
    assert given.keys() == {SPEAKER, PROMPT_MEL, PROMPT_TOKENS}
    decoded = codec.decode(speech.units[None], conditions(given))[0].numpy()
    assert relative_error(speech.audio, decoded) < 1e-5

    tts.save_voice(voice, tmp_path / "voice.safetensors")
    loaded = tts.load_voice(tmp_path / "voice.safetensors")
    assert relative_error(tts.say(TEXT, seed=1, prompt=loaded).audio, speech.audio) < 1e-5


@pytest.mark.parametrize("instruction", ["", "seven two one"])
def test_with_an_instruction_only_the_flow_continues_the_recording(
    tts: TTS, codec: TokenCodec, instruction: str
) -> None:
    recording = debug_waveform(1.0)
    prompt = Prompt(None, recording, instruction=instruction, as_recorded=True)
    speech = tts.say(TEXT, seed=1, prompt=prompt)
    # The model reads the instruction, or nothing, before the text.
    assert speech.units.equal(tts.say(TEXT, seed=1).units) == (instruction == "")
    units = codec.codes_to_units(codec.encode([torch.from_numpy(recording)])[0])
    given = codec.conditions_of(torch.from_numpy(recording), units)
    decoded = codec.decode(speech.units[None], conditions(given))[0].numpy()
    assert relative_error(speech.audio, decoded) < 1e-5


def test_a_stored_voice_is_a_speaker_vector(tts: TTS, codec: TokenCodec) -> None:
    speech = tts.say(TEXT, seed=1, prompt=tts.make_voice("ben"))
    assert speech.units.equal(tts.say(TEXT, seed=1).units)
    speaker = codec.networks.speakers["ben"][None]
    decoded = codec.decode(speech.units[None], {SPEAKER: speaker})[0].numpy()
    assert relative_error(speech.audio, decoded) < 1e-5
    with pytest.raises(ValueError, match="choose from ann, ben"):
        tts.make_voice("eve")


def test_the_voice_of_a_recording_can_be_converted(codec: TokenCodec) -> None:
    said, voice = (torch.from_numpy(debug_waveform(s, seed=i)) for i, s in enumerate((1.2, 0.8)))
    converted = codec.convert(said, voice)
    assert len(converted) == codec.num_frames(len(said)) * codec.hop_length
    units = codec.codes_to_units(codec.encode([said])[0])
    assert not torch.allclose(converted, codec.decode(units[None])[0], atol=1e-3)


def test_the_command_speaks_from_a_folder(
    model: CosyVoice2LM, codec: TokenCodec, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    save_token_lm(model, folder)
    debug_token_tokenizer(model).save_pretrained(folder)
    CodecParts(codec.networks).save(folder / "codec")
    output = tmp_path / "out.wav"
    assert run("speak", "--model", folder, TEXT, "--output", output) == 0
    assert output.stat().st_size > 10_000
    ben = tmp_path / "ben.wav"
    assert run("speak", "--model", folder, TEXT, "--voice", "ben", "--output", ben) == 0
    assert ben.read_bytes() != output.read_bytes()
    assert run("speak", "--model", folder, TEXT, "--voice", "eve", "--output", ben) == 2


def test_flow_and_vocoder_may_lie_beside_the_language_model_as_published(
    model: CosyVoice2LM, codec: TokenCodec, tmp_path: Path
) -> None:
    save_token_lm(model, tmp_path)
    debug_token_tokenizer(model).save_pretrained(tmp_path)
    networks = token_networks("step_flow")  # whose sizes its tensors tell
    torch.save(networks.flow.state_dict(), tmp_path / "flow.pt")
    torch.save(networks.vocoder.state_dict(), tmp_path / "hift.pt")
    with pytest.raises(ValueError, match="units of shape"):  # of two tokens, the model's are single
        TTS.from_pretrained(tmp_path)
