"""Speech tokenizers: in PyTorch, as ONNX files, and in windows; sled check has the recordings."""

import json

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper

from sled.codec.features import tokenizer_features
from sled.codec.speech_tokens.export import export_tokenizer
from sled.codec.speech_tokens.files import load_speech_tokenizer, save_tokenizer
from sled.codec.speech_tokens.network import TokenizerNetwork, TokenizerSizes
from sled.codec.speech_tokens.tokenizer import NetworkTokenizer, SpeechTokenizer

SIZES = {"n_audio_state": 24, "n_audio_head": 2, "n_audio_layer": 2, "n_audio_ctx": 1500}
V1 = TokenizerSizes(version=1, n_codebook_size=40, first_stride=1, **SIZES)
V2 = TokenizerSizes(version=2, **SIZES)


def network(sizes: TokenizerSizes = V2) -> TokenizerNetwork:
    torch.manual_seed(0)
    made = TokenizerNetwork(sizes)
    if sizes.version == 1:
        F.normalize(torch.randn(40, 24), out=made.quantizer._codebook.embed)
    return made.eval()


def noise(seconds: float, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(round(16_000 * seconds), generator=generator)


@pytest.mark.parametrize("sizes", [V1, V2])
def test_a_clip_has_the_same_tokens_in_a_batch(sizes):
    tokenizer = NetworkTokenizer(network(sizes))
    clips = [noise(seconds, seed) for seed, seconds in enumerate((0.3, 1.0, 0.57))]
    together = tokenizer.encode(clips)
    for clip, tokens in zip(clips, together, strict=True):
        assert tokens.equal(tokenizer.encode([clip])[0])
        assert abs(len(tokens) - len(clip) / 16_000 * tokenizer.token_rate) <= 1
        assert 0 <= int(tokens.min()) <= int(tokens.max()) < sizes.n_codebook_size
    assert len(torch.cat(together).unique()) > 3


@pytest.mark.parametrize("sizes", [V1, V2])
def test_the_exported_file_gives_the_tokens_of_the_network(sizes, tmp_path):
    save_tokenizer(network(sizes), tmp_path / "tokenizer")
    ours = load_speech_tokenizer(tmp_path / "tokenizer")
    export_tokenizer(network(sizes), tmp_path / "speech_tokenizer_v2.onnx")
    exported = load_speech_tokenizer(tmp_path)  # found as in a published folder
    assert type(exported) is not type(ours)
    assert exported.token_rate == ours.token_rate == sizes.token_rate
    clips = [noise(0.4), noise(1.23, seed=1)]
    for one, other in zip(exported.encode(clips), ours.encode(clips), strict=True):
        assert one.equal(other)


class TimeTokenizer(SpeechTokenizer):
    """Its tokens are the values of the first band at every fourth frame."""

    token_rate, vocab_size, n_mels = 25.0, None, 128

    def encode_features(self, mels):
        assert all(mel.shape[-1] <= 3000 for mel in mels)
        return [mel[0, ::4].clone() for mel in mels]


@pytest.mark.parametrize("seconds", [0.5, 29.9, 30.0, 30.5, 56.0, 56.1, 95.0])
def test_windows_of_long_audio_join_without_gap_or_overlap(seconds):
    waveform = noise(seconds)
    [tokens] = TimeTokenizer().encode([waveform])
    assert tokens.equal(tokenizer_features(waveform)[0, ::4])


def test_scalar_quantization_numbers_the_levels_with_the_first_digit_least_significant():
    quantizer = network().quantizer._codebook
    states = torch.randn(2, 5, 24)
    levels = torch.tanh(states @ quantizer.project_down.weight.T + quantizer.project_down.bias)
    for state_levels, code in zip(levels.flatten(0, 1), quantizer(states).flatten(), strict=True):
        digits = [int(code) // 3**place % 3 for place in range(8)]
        assert [round(level.item()) + 1 for level in state_levels * 0.999] == digits


def write_onnx(path, inputs, output="tokens") -> None:
    nodes = [helper.make_node("Identity", [inputs[0].name], [output])]
    result = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "graph", inputs, [result])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def test_what_is_no_speech_tokenizer_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no speech tokenizer at"):
        load_speech_tokenizer(tmp_path)
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"no graph")
    with pytest.raises(ValueError, match="copy it again"):
        load_speech_tokenizer(damaged)
    features = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 128, "frames"])
    length = helper.make_tensor_value_info("n", TensorProto.INT32, [1])
    for inputs in ([features], [features, length]):
        write_onnx(tmp_path / "other.onnx", inputs)
        with pytest.raises(ValueError, match="is no speech tokenizer .inputs x"):
            load_speech_tokenizer(tmp_path / "other.onnx")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kind": "speech_tokenizer_v3_25hz"}, "v3|kind"),
        ({"n_audio_head": 5}, "heads"),
        ({"n_audio_layer": "two"}, "whole numbers"),
        ({"layers": 2}, "n_audio_layer"),
        ({"n_codebook_size": 100}, "6561"),
        ({"n_audio_layer": 3}, "missing"),
    ],
)
def test_a_wrong_configuration_is_refused(change, word, tmp_path):
    save_tokenizer(network(), tmp_path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(ValueError, match=word):
        load_speech_tokenizer(tmp_path)


def test_short_audio_has_tokens():
    tokenizer = NetworkTokenizer(network())
    [tokens] = tokenizer.encode([torch.from_numpy(np.zeros(100, np.float32))])
    assert len(tokens) <= 1
