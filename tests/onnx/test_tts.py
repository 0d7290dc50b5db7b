"""Speech of a folder of graphs, without PyTorch, is that of the model."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sled import TTS, Layout
from sled.codec.token_codec.files import TokenNetworks
from sled.codec.token_codec.model import TokenCodec
from sled.model.lm import SpeechLM
from sled.model.tokens.cosyvoice import CosyVoiceLM
from sled.model.tokens.cosyvoice2 import CosyVoice2LM
from sled.model.tokens.simpletts import SimpleTTSLM
from sled.onnx.export import export_chain
from sled.onnx.tts import OnnxTTS
from sled.streaming.voice_file import VoiceFile
from sled.text.tokenizer import TextTokenizer
from tests.codec.flow.models import cosyvoice2_flow, cosyvoice_flow, random_prompt, simpletts_flow
from tests.codec.token_codec.models import SETTINGS
from tests.commands import run
from tests.debug import (
    STREAM,
    debug_checkpoint,
    debug_codec,
    debug_marked_codec,
    debug_marked_model,
    debug_model,
    debug_prompt,
    debug_tokenizer,
    debug_waveform,
    randn,
)
from tests.onnx.noise import TorchNoise, relative_error
from tests.onnx.test_audio import tiny_vocoder, whole_networks
from tests.text.qwen2 import write_qwen2_tokenizer
from tests.tokens import (
    debug_cosyvoice,
    debug_cosyvoice2,
    debug_ended_simpletts,
    debug_token_tokenizer,
    with_random_weights,
)

TEXT = "four two seven"
TOLD = "told.safetensors"  # a voice that follows an instruction


LENGTHS = {"min_frames_per_token": 3.0, "max_frames_per_token": 6.0, "trained_frames": 60}


def export_with_voice(tts: TTS, model: SpeechLM, folder: Path) -> tuple[TTS, Path]:
    """Export a model, and a voice."""
    voice = tts.make_voice(debug_prompt("one", debug_waveform(0.2)))
    tts.save_voice(voice, folder / "ann.safetensors")
    voices = {"ann": VoiceFile.read(folder / "ann.safetensors", tts.codec)}
    export_chain(model, tts.tokenizer, tts.codec, folder, voices=voices)
    return tts, folder


@pytest.fixture(scope="module")
def sled_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[TTS, Path]:
    model = debug_model(2, **STREAM, **LENGTHS)
    tts = TTS(model, debug_tokenizer(), debug_codec())
    return export_with_voice(tts, model, tmp_path_factory.mktemp("sled"))


@pytest.fixture(scope="module")
def marked_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[TTS, Path]:
    model = debug_marked_model(**STREAM, **LENGTHS)
    tts = TTS(model, debug_tokenizer(), debug_marked_codec())
    return export_with_voice(tts, model, tmp_path_factory.mktemp("marked"))


@pytest.fixture(scope="module")
def token_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[TTS, Path]:
    sizes = replace(debug_cosyvoice2().sizes, speech_token_size=81, frame_rate=25.0)
    model = with_random_weights(CosyVoice2LM(sizes), 3)
    assert isinstance(model, CosyVoice2LM)
    model.config.speaking.max_frames_per_token = 6.0  # otherwise it speaks for long
    networks = TokenNetworks(cosyvoice2_flow(), tiny_vocoder("vocos"), SETTINGS)
    networks = replace(networks, speakers={"ann": randn(16, seed=1), "ben": randn(16, seed=2)})
    networks = replace(networks, prompts={"ann": random_prompt(cosyvoice2_flow(), 1, 6, 0)})
    tts = TTS(model, debug_token_tokenizer(model), TokenCodec(networks))
    folder = tmp_path_factory.mktemp("tokens")
    tts.save_voice(tts.make_voice("ben", instruction="seven two one"), folder / TOLD)
    voices = {"told": VoiceFile.read(folder / TOLD, tts.codec)}
    export_chain(model, tts.tokenizer, tts.codec, folder, voices=voices)
    return tts, folder


@pytest.mark.parametrize("kind", ["offline", "stream"])
def test_speech_is_that_of_the_model(
    sled_folder: tuple[TTS, Path],
    marked_folder: tuple[TTS, Path],
    token_folder: tuple[TTS, Path],
    kind: str,
) -> None:
    for tts, folder in (sled_folder, marked_folder, token_folder):
        ours = OnnxTTS(folder)
        layout = Layout() if kind == "offline" else tts.model.streaming_layout
        for voice, text in ((None, TEXT), ("ann", f"{TEXT}. {TEXT}, {TEXT}. {TEXT}")):
            prompt = None
            if voice and (folder / "ann.safetensors").is_file():
                prompt = tts.load_voice(folder / "ann.safetensors", layout)
            elif voice:
                prompt = tts.make_voice(voice, layout)
            theirs = tts.say(text, seed=6, prompt=prompt, layout=layout).audio
            settings = {"voice": voice, "layout": kind}
            audio = ours.say(text, noise=TorchNoise(6), **settings)
            assert relative_error(audio, theirs) < 1e-4
            # However the text is cut.
            pieces = [text[start : start + 3] for start in range(0, len(text), 3)]
            parts = list(ours.stream(pieces, noise=TorchNoise(6), **settings))
            assert len(parts) > 1 or len(theirs) < tts.codec.sample_rate
            assert relative_error(np.concatenate(parts), theirs) < 1e-4


def test_a_flow_that_sees_whole_utterances_solves_each_part_alone(tmp_path: Path) -> None:
    sizes = replace(
        debug_cosyvoice().sizes, speech_token_size=60, spk_embed_dim=16, frame_rate=50.0
    )
    model = with_random_weights(CosyVoiceLM(sizes), 3)
    assert isinstance(model, CosyVoiceLM)
    model.config.speaking.max_frames_per_token = 4.0  # otherwise it speaks for long
    networks = replace(whole_networks(cosyvoice_flow()), speakers={"ann": randn(16, seed=1)})
    tts = TTS(model, debug_token_tokenizer(model), TokenCodec(networks))
    export_chain(model, tts.tokenizer, tts.codec, tmp_path)
    text = 'four two seven. <break time="0.3s"/> one nine <break time="0.1s"/> two'
    theirs = tts.say(text, seed=6, prompt="ann").audio
    parts = list(OnnxTTS(tmp_path).stream(text, noise=TorchNoise(6), voice="ann"))
    assert sum(bool(part.any()) for part in parts) > 1
    assert relative_error(np.concatenate(parts), theirs) < 1e-4


def test_a_voice_follows_an_instruction(token_folder: tuple[TTS, Path]) -> None:
    tts, folder = token_folder
    voice = tts.load_voice(folder / TOLD)
    theirs = tts.say(TEXT, seed=6, prompt=voice)
    assert not theirs.units.equal(tts.say(TEXT, seed=6).units)
    audio = OnnxTTS(folder).say(TEXT, noise=TorchNoise(6), voice="told")
    assert relative_error(audio, theirs.audio) < 1e-4


def test_an_instruction_of_a_published_model_is_encoded_by_itself(tmp_path: Path) -> None:
    sizes = replace(debug_cosyvoice2().sizes, vocab_size=440, speech_token_size=81, frame_rate=25.0)
    model = with_random_weights(CosyVoice2LM(sizes), 3)
    assert isinstance(model, CosyVoice2LM)
    model.config.speaking.max_frames_per_token = 6.0
    ends, added = (None, model.config.architecture.eos_token_id), model.ADDED_TOKENS
    text_model = write_qwen2_tokenizer(tmp_path / "text")
    tokenizer = TextTokenizer.from_pretrained(text_model, None, *ends, added)
    networks = TokenNetworks(cosyvoice2_flow(), tiny_vocoder("vocos"), SETTINGS)
    networks = replace(networks, speakers={"ben": randn(16, seed=2)})
    tts = TTS(model, tokenizer, TokenCodec(networks))
    voice = tts.make_voice("ben", instruction="今天天气很好")
    tts.save_voice(voice, tmp_path / TOLD)
    voices = {"told": VoiceFile.read(tmp_path / TOLD, tts.codec)}
    export_chain(model, tokenizer, tts.codec, tmp_path / "graphs", voices=voices)
    theirs = tts.say("我们散步。", seed=6, prompt=voice)
    audio = OnnxTTS(tmp_path / "graphs").say("我们散步。", noise=TorchNoise(6), voice="told")
    assert len(theirs.units) > 3 and relative_error(audio, theirs.audio) < 1e-4


def test_simpletts_says_texts_between_their_ends_with_the_ids_of_the_codec(tmp_path: Path) -> None:
    sizes = debug_ended_simpletts().sizes
    sizes = replace(sizes, codes=90, vocab_size=400, spk_embed_dim=16, frame_rate=25.0)
    model = with_random_weights(SimpleTTSLM(sizes), 3)
    assert isinstance(model, SimpleTTSLM)
    model.config.speaking.max_frames_per_token = 6.0
    networks = replace(whole_networks(simpletts_flow()), speakers={"ann": randn(16, seed=1)})
    tts = TTS(model, debug_token_tokenizer(model), TokenCodec(networks))
    export_chain(model, tts.tokenizer, tts.codec, tmp_path)
    text = f"{TEXT}. {TEXT}"
    theirs = tts.say(text, seed=6, prompt=tts.make_voice("ann")).audio
    audio = OnnxTTS(tmp_path).say(text, noise=TorchNoise(6), voice="ann")
    assert relative_error(audio, theirs) < 1e-4  # ids from 64 on would be refused


def test_torch_is_not_imported(sled_folder: tuple[TTS, Path], tmp_path: Path) -> None:
    _, folder = sled_folder
    program = f"""
import sys
from sled.onnx.__main__ import main
sys.argv = ["sled.onnx", {str(folder)!r}, {TEXT!r}, "-o", {str(tmp_path / "out.wav")!r}]
assert main() == 0
print(*sorted({{"torch", "transformers", "onnx", "lhotse"}} & sys.modules.keys()))
"""
    made = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    report, imported = made.stdout.splitlines()
    assert report.endswith("s of audio at 24000 Hz")
    assert imported == ""
    assert (tmp_path / "out.wav").is_file()


def test_what_cannot_be_used_is_named(sled_folder: tuple[TTS, Path], tmp_path: Path) -> None:
    _, folder = sled_folder
    with pytest.raises(ValueError, match="no voice 'anne' .did you mean ann"):
        OnnxTTS(folder).say(TEXT, voice="anne")
    with pytest.raises(ValueError, match="choose offline or stream"):
        OnnxTTS(folder).say(TEXT, layout="both")
    with pytest.raises(ValueError, match="blank"):
        OnnxTTS(folder).say(" ")
    with pytest.raises(ValueError, match="sled export --onnx"):
        OnnxTTS(tmp_path)
    (tmp_path / "chain.json").write_text(json.dumps({"format": 0}))
    with pytest.raises(ValueError, match="export the model again"):
        OnnxTTS(tmp_path)


def test_the_command_exports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = debug_checkpoint(tmp_path / "model", 1, **STREAM)
    flags = ("--model", folder, "-o", tmp_path / "graphs", "--onnx", "--temperature", "0.5")
    assert run("export", *flags) == 0
    assert "MB" in capsys.readouterr().out
    settings = json.loads((tmp_path / "graphs" / "chain.json").read_text())
    assert settings["model"]["drawing"]["temperature"] == 0.5
    assert run("export", "--model", folder, "-o", tmp_path / "out", "--voice", "ann") == 2
