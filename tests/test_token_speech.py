"""Speech by language model, flow and vocoder: texts, pieces of text, and all kinds of voices."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
import torch

from sled import TTS, Layout, Prompt
from sled.codec.folder import CodecParts
from sled.codec.speaker.encoder import NetworkSpeakerEncoder
from sled.codec.speech_tokens.export import export_tokenizer
from sled.codec.speech_tokens.network import TokenizerNetwork, TokenizerSizes
from sled.codec.token_codec.model import PROMPT_MEL, PROMPT_TOKENS, SPEAKER, TokenCodec
from sled.codec.vocoder.hift import HiFT, HiFTSizes
from sled.model.tokens.cosyvoice import CosyVoiceLM
from sled.model.tokens.cosyvoice2 import CosyVoice2LM
from sled.model.tokens.files import load_token_lm, published_state, save_token_lm
from sled.text.published_tokenizers import load_corpus_tokenizer
from tests.codec.token_codec.models import token_networks
from tests.commands import run
from tests.debug import debug_prompt, debug_waveform, randn
from tests.serving.conftest import start, stop
from tests.text.qwen2 import write_qwen2_tokenizer
from tests.token_tts import CODES, chain_codec, chain_model, chain_tts
from tests.tokens import (
    SlowSampler,
    debug_cosyvoice,
    debug_cosyvoice2,
    debug_token_tokenizer,
    speak_streaming,
    speak_whole,
    with_random_weights,
)

TEXT = "four two seven"


@pytest.fixture(scope="module")
def model() -> CosyVoice2LM:
    return chain_model()


@pytest.fixture(scope="module")
def codec() -> TokenCodec:
    return chain_codec()


@pytest.fixture(scope="module")
def tts() -> TTS:
    return chain_tts()


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
    layout = model.streaming_layout
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


@pytest.mark.parametrize("samples", [24_000, 24_500, 24_950, 24_001])
def test_language_model_and_flow_read_the_same_tokens_of_a_recording(
    tts: TTS, codec: TokenCodec, samples: int
) -> None:
    """As many as there are whole pairs of mel frames, as published."""
    recording = debug_waveform(samples / 24_000)
    assert len(recording) == samples
    count = samples // 480 // 2
    voice = tts.make_voice(Prompt("one four nine", recording, as_recorded=True))
    [whole] = codec.encode([torch.from_numpy(recording)])
    assert voice.units.equal(whole[0, :count])
    assert voice.prefill.prompt_frames == count
    assert voice.conditions[PROMPT_TOKENS].equal(voice.units)
    assert voice.conditions[PROMPT_MEL].shape == (80, 2 * count)


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


def test_the_voice_of_a_recording_can_be_converted(tts: TTS, codec: TokenCodec) -> None:
    said, voice = (debug_waveform(seconds, seed=i) for i, seconds in enumerate((1.2, 0.8)))
    prompt = Prompt(None, voice, as_recorded=True)
    converted = tts.convert(said, prompt)
    assert len(converted) == codec.num_frames(len(said)) * codec.hop_length
    units, voice_units = (
        codec.codes_to_units(codec.encode([torch.from_numpy(one)])[0]) for one in (said, voice)
    )
    given = codec.conditions_of(torch.from_numpy(voice), voice_units)
    decoded = codec.decode(units[None], conditions(given))[0].numpy()
    assert relative_error(converted, decoded) < 1e-5
    assert not np.allclose(converted, codec.decode(units[None])[0].numpy(), atol=1e-3)
    # A voice that the model has read is no other one.
    made = tts.make_voice(replace(prompt, text="one four nine"))
    assert relative_error(tts.convert(said, made), converted) < 1e-5


def test_no_voice_is_made_of_a_long_recording(tts: TTS) -> None:
    long = Prompt("one four nine", debug_waveform(31.0), as_recorded=True)
    with pytest.raises(ValueError, match=r"take one of at most 30.0 s"):
        tts.make_voice(long)
    with pytest.raises(ValueError, match=r"take one of at most 30.0 s"):
        tts.convert(debug_waveform(0.5), long)


@pytest.mark.parametrize("instruction", ["", "seven two one"])
def test_any_voice_follows_an_instruction(tts: TTS, codec: TokenCodec, instruction: str) -> None:
    recording = debug_waveform(1.0)
    told = Prompt(None, recording, instruction=instruction, as_recorded=True)
    said = tts.say(TEXT, seed=1, prompt=told)
    read = tts.make_voice(Prompt("one four nine", recording, as_recorded=True))
    voice = tts.make_voice(read, instruction=instruction)
    again = tts.say(TEXT, seed=1, prompt=voice)
    assert again.units.equal(said.units) and relative_error(again.audio, said.audio) < 1e-5
    assert tts.make_voice(read, instruction=instruction) is voice

    stored = tts.say(TEXT, seed=1, prompt=tts.make_voice("ben", instruction=instruction))
    assert stored.units.equal(said.units)
    speaker = codec.networks.speakers["ben"][None]
    decoded = codec.decode(stored.units[None], {SPEAKER: speaker})[0].numpy()
    assert relative_error(stored.audio, decoded) < 1e-5
    nobody = tts.say(TEXT, seed=1, prompt=tts.make_voice(None, instruction=instruction))
    assert nobody.units.equal(said.units)
    assert relative_error(nobody.audio, codec.decode(said.units[None])[0].numpy()) < 1e-5


def test_cosyvoice_reads_an_instruction_in_the_place_of_the_speaker(tmp_path: Path) -> None:
    codec = chain_codec()
    sizes = replace(
        debug_cosyvoice().sizes, speech_token_size=CODES, spk_embed_dim=16, frame_rate=25.0
    )
    model = with_random_weights(CosyVoiceLM(sizes), 3)
    assert isinstance(model, CosyVoiceLM)
    model.config.speaking.max_frames_per_token = 6.0
    tokenizer = debug_token_tokenizer(model)
    tts = TTS(model, tokenizer, codec)
    voices = {
        instruction: tts.make_voice("ben", instruction=instruction)
        for instruction in (None, "", "seven two one")
    }
    rows = {one: voice.prefill.rows[0].num_conditions for one, voice in voices.items()}
    assert rows == {None: 2, "": 2, "seven two one": 1}  # the start, and the speaker
    told = voices["seven two one"]
    speech = tts.say(TEXT, seed=1, prompt=told)
    speaker = codec.networks.speakers["ben"][None]
    decoded = codec.decode(speech.units[None], {SPEAKER: speaker})[0].numpy()
    assert relative_error(speech.audio, decoded) < 1e-5
    tts.save_voice(told, tmp_path / "told.safetensors")
    loaded = tts.load_voice(tmp_path / "told.safetensors")
    assert tts.say(TEXT, seed=1, prompt=loaded).units.equal(speech.units)


def test_an_instruction_ends_with_the_published_marker(published_folder: Path) -> None:
    tts = TTS.from_pretrained(published_folder)
    marker = "<|endofprompt|>"
    voices = [
        tts.make_voice("ann", instruction=one) for one in ("four", f"four{marker}", "four two", "")
    ]
    texts = [voice.text for voice in voices]
    assert texts == [f"four{marker}", f"four{marker}", f"four two{marker}", ""]
    typed = tts.tokenizer.form.typed[marker]
    assert [voice.prefill.rows[0].token_ids.count(typed) for voice in voices] == [1, 1, 1, 0]


@pytest.fixture(scope="module")
def own_folder(
    model: CosyVoice2LM, codec: TokenCodec, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder as it is saved here."""
    folder = tmp_path_factory.mktemp("own")
    save_token_lm(model, folder)
    debug_token_tokenizer(model).save_pretrained(folder)
    CodecParts(codec.networks).save(folder / "codec")
    return folder


@pytest.fixture(scope="module")
def published_folder(codec: TokenCodec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of a published CosyVoice2."""
    folder = tmp_path_factory.mktemp("published")
    text_model = write_qwen2_tokenizer(folder / "CosyVoice-BlankEN")
    sizes = replace(
        debug_cosyvoice2().sizes, vocab_size=440, speech_token_size=81, mix_ratio=(5, 15)
    )
    torch.save(published_state(with_random_weights(CosyVoice2LM(sizes), 3)), folder / "llm.pt")
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512}
    (text_model / "config.json").write_text(json.dumps(heads))
    torch.save(codec.networks.flow.state_dict(), folder / "flow.pt")
    torch.manual_seed(0)
    vocoder = HiFT(HiFTSizes(base_channels=32, f0_channels=16))
    with torch.no_grad():  # so that what it reads is heard
        vocoder.get_parameter("conv_pre.parametrizations.weight.original0").mul_(30)
    torch.save(vocoder.state_dict(), folder / "hift.pt")
    export_tokenizer(tiny_tokenizer(), folder / "speech_tokenizer_v2.onnx")
    encoder = codec.networks.speaker_encoder
    assert isinstance(encoder, NetworkSpeakerEncoder)
    torch.onnx.export(
        encoder.network,
        (torch.zeros(1, 200, 80),),
        str(folder / "campplus.onnx"),
        input_names=["input"],
        dynamic_axes={"input": {1: "frames"}},
        dynamo=False,
    )
    stored = {
        name: {"embedding": randn(1, 16, seed=seed)} for seed, name in enumerate(("ann", "ben"))
    }
    torch.save(stored, folder / "spk2info.pt")
    (folder / "cosyvoice2.yaml").write_text("llm: !new:cosyvoice.llm.llm.Qwen2LM {}\n")
    return folder


def tiny_tokenizer() -> TokenizerNetwork:
    """A speech tokenizer with 81 of the 6561 tokens."""
    torch.manual_seed(0)
    sizes = TokenizerSizes(version=2, n_audio_state=64, n_audio_head=1, n_audio_layer=1)
    network = TokenizerNetwork(sizes).eval()
    with torch.no_grad():  # the digits after the fourth are 0
        project = network.quantizer.get_submodule("_codebook.project_down")
        project.weight[4:], project.bias[4:] = 0.0, -50.0
    return network


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "voice.wav", debug_waveform(1.0), 24_000)
    return tmp_path / "voice.wav"


def test_the_commands_speak_from_a_folder(own_folder: Path, tmp_path: Path) -> None:
    sounds = set()
    for name in ("speak", "stream"):
        output = tmp_path / f"{name}.wav"
        assert run(name, "--model", own_folder, TEXT, "--output", output, "--max_length", 60) == 0
        assert output.stat().st_size > 10_000
        sounds.add(output.read_bytes())
    assert len(sounds) == 2
    assert run("speak", "--model", own_folder, TEXT, "--voice", "eve", "--output", output) == 2


def test_the_commands_speak_from_a_published_folder(
    published_folder: Path, recording: Path, tmp_path: Path
) -> None:
    cloned = ("--prompt_audio", recording, "--prompt_text", "one four nine two seven")
    ways = {
        "whole": ("speak",),
        "stored": ("speak", "--voice", "ben"),
        "pieces": ("stream",),
        "clone": ("clone", *cloned),
        "clone in pieces": ("clone", *cloned, "--layout", "stream"),
        "instructed": ("clone", "--prompt_audio", recording, "--instruction", "four two"),
        "other language": ("clone", "--prompt_audio", recording, "--instruction", ""),
    }
    sounds = set()
    for name, (command, *flags) in ways.items():
        output = tmp_path / f"{name}.wav"
        cut = ("--max_length", 60, "--seed", 4, "--output", output)
        assert run(command, "--model", published_folder, TEXT, *flags, *cut) == 0, name
        assert output.stat().st_size > 5_000
        sounds.add(output.read_bytes())
    assert len(sounds) == len(ways)


def test_a_recording_is_said_with_another_voice(
    published_folder: Path,
    recording: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    soundfile.write(tmp_path / "said.wav", debug_waveform(1.2, seed=1), 24_000)
    sounds = set()
    for flags in (("--voice", "ann"), ("--voice", "ben"), ("--prompt_audio", recording)):
        output = ("--output", tmp_path / "out.wav")
        source = ("--model", published_folder, tmp_path / "said.wav")
        assert run("convert", *source, *flags, *output) == 0
        assert "1.20 s" in capsys.readouterr().out
        sounds.add((tmp_path / "out.wav").read_bytes())
    assert len(sounds) == 3
    assert run("convert", *source, *output) == 2
    assert "name a voice" in capsys.readouterr().err
    assert run("convert", *source, "--voice", "eve", *output) == 2
    assert "choose from ann, ben" in capsys.readouterr().err
    latents = ("--model", "digits", tmp_path / "said.wav", "--prompt_audio", recording)
    assert run("convert", *latents, *output) == 2
    assert "use a model of speech tokens" in capsys.readouterr().err


def test_step_audio_s_names_of_arguments_speak(published_folder: Path, recording: Path) -> None:
    tts = TTS.from_pretrained(published_folder)
    given = {"prompt_wav_path": recording, "prompt_text": "one four nine two seven"}
    audio, rate = tts.clone(**given, target_text=TEXT, seed=4)
    assert rate == 24_000 and len(audio) > 2_000
    prompt = Prompt(given["prompt_text"], recording)
    assert (tts.say(TEXT, prompt=prompt, seed=4).audio == audio).all()


def test_a_speaker_stored_with_a_recording_speaks_as_its_prompt_does(
    published_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = "one four nine two seven"
    tts = TTS.from_pretrained(published_folder)
    prompt = tts.make_voice(Prompt(words, debug_waveform(0.4), as_recorded=True))
    tokens = prompt.conditions[PROMPT_TOKENS]
    stored = {
        "prompt_text": torch.tensor([tts.tokenizer.encode(words)]),
        "flow_prompt_speech_token": tokens[None].int(),
        "prompt_speech_feat": prompt.conditions[PROMPT_MEL].mT[None],
        "flow_embedding": prompt.conditions[SPEAKER][None],
    }
    folder = tmp_path / "model"
    shutil.copytree(published_folder, folder)
    torch.save({"eve": stored}, folder / "spk2info.pt")
    again = TTS.from_pretrained(folder)
    voice = again.make_voice("eve")
    assert voice.text == words and voice.units.equal(prompt.units)
    ours, theirs = again.say(TEXT, prompt=voice, seed=4), tts.say(TEXT, prompt=prompt, seed=4)
    assert ours.units.equal(theirs.units)
    np.testing.assert_array_equal(ours.audio, theirs.audio)
    assert len(again.make_voice("eve", instruction="slowly").units) == 0

    # Words of another tokenizer: the model does not read them.
    unknown = {"prompt_text": torch.tensor([[70_000]])}
    torch.save({"eve": stored | unknown}, folder / "spk2info.pt")
    voice = TTS.from_pretrained(folder).make_voice("eve")
    assert len(voice.units) == 0 and PROMPT_MEL in voice.conditions
    assert "not those of this model's tokenizer" in caplog.text


def test_a_published_folder_speaks_as_published(published_folder: Path) -> None:
    tts = TTS.from_pretrained(published_folder)
    assert tts.model.streaming_layout == Layout(5, 15)
    model = load_token_lm(published_folder)
    assert isinstance(model, CosyVoice2LM)
    theirs = load_corpus_tokenizer(published_folder / "CosyVoice-BlankEN", model.ADDED_TOKENS)
    text = "four [laughter] two"
    tokens, sampling = theirs.ids(text), model.config.speaking.sampling()
    whole = tts.say(text, seed=1, layout=Layout())
    assert whole.units.tolist() == speak_whole(model, tokens, SlowSampler(1, sampling, 1.0))
    with tts.open_session(seed=1, layout=tts.model.streaming_layout) as session:
        for character in text:
            session.feed(character)
        session.flush()
        pieces = np.concatenate(list(session))
    spoken = speak_streaming(model, tokens, SlowSampler(1, sampling, 1.0))
    assert len(pieces) == len(spoken) * tts.codec.hop_length


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("今天天气很好，", "我们散步。"),  # there is no space between them
        ("four two seven.", "nine one"),  # the first word has none in front
        ("naïve cafe", "\u0301 left"),  # nothing is composed across the joint
    ],
)
@pytest.mark.parametrize("instructs", [False, True])
def test_a_prompt_and_a_text_are_encoded_one_by_one(
    published_folder: Path, prompt: str, text: str, instructs: bool, tmp_path: Path
) -> None:
    tts = TTS.from_pretrained(published_folder)
    model = load_token_lm(published_folder)
    assert isinstance(model, CosyVoice2LM)
    theirs = load_corpus_tokenizer(published_folder / "CosyVoice-BlankEN", model.ADDED_TOKENS)
    if instructs:
        voice = tts.make_voice("ann", instruction=prompt)
        prompt += "<|endofprompt|>"
    else:
        voice = tts.make_voice(Prompt(prompt, debug_waveform(0.4), as_recorded=True))
    ids, past = (theirs.ids(one) for one in (text, prompt))
    assert voice.prefill.rows[0].token_ids[: len(past)] == past
    sampler = SlowSampler(1, model.config.speaking.sampling(), 1.0)
    expected = speak_whole(model, ids, sampler, past, voice.units.tolist())
    assert tts.say(text, seed=1, prompt=voice).units.tolist() == expected
    tts.save_voice(voice, tmp_path / "voice.safetensors")
    voice = tts.load_voice(tmp_path / "voice.safetensors")
    with tts.open_session(seed=1, voice=voice) as session:
        for character in text:
            session.feed(character)
        session.flush()
        assert torch.cat([one.units for one in session.chunks()]).tolist() == expected


def test_a_prompt_is_no_part_of_the_text_in_later_segments_either(published_folder: Path) -> None:
    tts = TTS.from_pretrained(published_folder)
    model = load_token_lm(published_folder)
    assert isinstance(model, CosyVoice2LM)
    theirs = load_corpus_tokenizer(published_folder / "CosyVoice-BlankEN", model.ADDED_TOKENS)
    voice = tts.make_voice("ann", instruction="four")
    sampler = SlowSampler(1, model.config.speaking.sampling(), 1.0)
    past = theirs.ids("four<|endofprompt|>")
    first = speak_whole(model, theirs.ids("one two"), sampler, past)
    sampler.past.clear()
    both = theirs.ids("one two seven")
    known = len(theirs.ids("one two"))
    past += both[:known]
    second = speak_whole(model, both[known:], sampler, past, first)
    with tts.open_session(seed=1, voice=voice) as session:
        session.feed("one two ")
        session.end_segment()
        session.feed("seven")
        session.flush()
        assert torch.cat([one.units for one in session.chunks()]).tolist() == first + second


def test_the_server_speaks_from_a_published_folder(published_folder: Path) -> None:
    running = start(tts=TTS.from_pretrained(published_folder))
    try:
        body = {"input": TEXT, "response_format": "pcm", "seed": 3}
        answer = httpx.post(f"{running.url}/v1/audio/speech", json=body, timeout=60)
        assert answer.status_code == 200 and len(answer.content) > 10_000
    finally:
        stop(running)


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
