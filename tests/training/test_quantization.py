"""A checkpoint is rounded by its own speech; the file beside it is read, or refused."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from sled import TTS
from sled.decoding import DecodingOptions
from sled.fast.int4 import INT4_FILE, read_int4
from sled.fast.int4.rounding import layer_matrices
from sled.fast.native import NativeModel
from sled.model.lm import SpeechLM
from sled.model.registry import load_speech_lm, save_speech_lm
from sled.training.quantization import quantize, record_inputs
from tests.commands import run
from tests.debug import debug_checkpoint, debug_model, debug_tokenizer
from tests.fast.forms import NEEDS_KERNELS, SIZES

TEXTS = ["four two seven", "one four nine", "seven two one"]
# Of the second matrix of the MLP, an odd number of inputs, and no multiple of a group.
ODD = SIZES | {"intermediate_size": 75, "max_position_embeddings": 64}


@pytest.fixture(scope="module")
def quantized(tmp_path_factory) -> Path:
    folder = debug_checkpoint(tmp_path_factory.mktemp("quantized") / "model", **ODD)
    path, error = quantize(folder, TEXTS, group=32)
    assert path == folder / INT4_FILE
    assert 0 < error < 0.2
    return folder


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / "copy"))


def output_errors(model: SpeechLM, matrices: dict) -> dict[str, float]:
    """How much the outputs of each matrix change over the inputs of other speech."""
    moments = record_inputs(model, [debug_tokenizer().encode("nine seven four")], seed=9)
    errors = {}
    for name, linear in layer_matrices(model):
        weight = linear.weight.detach()
        change = matrices[name].weights() - weight
        squares = [((one @ moments[name]) * one).sum() for one in (change, weight)]
        errors[name] = float(squares[0] / squares[1]) ** 0.5
    return errors


def test_rounded_matrices_are_close_on_other_speech(quantized):
    model = load_speech_lm(quantized)
    matrices = read_int4(quantized, model)
    assert matrices.keys() == {name for name, _ in layer_matrices(model)}
    assert {one.group for one in matrices.values()} == {32}
    assert max(output_errors(model, matrices).values()) < 0.15


def test_the_file_holds_two_codes_in_a_byte(quantized):
    with safe_open(quantized / INT4_FILE, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    model = load_speech_lm(quantized)
    matrices = read_int4(quantized, model)
    for name, linear in layer_matrices(model):
        outputs, inputs = linear.weight.shape
        packed, scales = tensors.pop(f"{name}.codes"), tensors.pop(f"{name}.scales")
        assert packed.shape == (outputs, -(-inputs // 2))
        for k in range(inputs):
            code = packed[:, k // 2] >> 4 if k % 2 else packed[:, k // 2] & 15
            wanted = (code.float() - 8) * scales[:, k // 32]
            assert matrices[name].weights()[:, k].equal(wanted)
    assert not tensors


def test_inputs_are_recorded_at_every_position():
    """The sums are those of all inputs of the first layer's projections."""
    model, seen = debug_model(**ODD), []
    norm = model.model.layers[0].input_layernorm
    norm.register_forward_hook(lambda module, inputs, output: seen.append(output.flatten(0, -2)))
    moments = record_inputs(model, [debug_tokenizer().encode(text) for text in TEXTS])
    inputs = torch.cat(seen)
    assert len(inputs) >= sum(len(debug_tokenizer().encode(text)) for text in TEXTS)
    for part in "qkv":
        name = f"model.layers.0.self_attn.{part}_proj.weight"
        torch.testing.assert_close(moments[name], inputs.T @ inputs, rtol=1e-4, atol=1e-3)


@NEEDS_KERNELS
def test_a_quantized_checkpoint_speaks(quantized):
    tts = TTS.from_pretrained(quantized, dtype="int4")
    assert isinstance(tts.model, NativeModel)
    digests = {
        dtype: TTS.from_pretrained(quantized, dtype=dtype).model.digest()
        for dtype in ("float32", "int8", "int4")
    }
    assert len(set(digests.values())) == 3
    assert tts.model.digest() == digests["int4"]
    said = tts.say("four two", seed=1, options=DecodingOptions(min_frames=8, max_frames=9))
    assert said.seconds > 0


def test_weights_that_were_trained_further_need_another_file(quantized, tmp_path):
    folder = copied(quantized, tmp_path)
    model = load_speech_lm(folder, torch.float32)
    model.model.layers[1].mlp.down_proj.weight.data *= 1.001
    save_speech_lm(model, folder)
    with pytest.raises(ValueError, match="of other weights than the checkpoint: run sled quantize"):
        read_int4(folder, load_speech_lm(folder))


def test_a_missing_or_damaged_file_is_named(quantized, tmp_path):
    folder = copied(quantized, tmp_path)
    path = folder / INT4_FILE
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"cannot read .*int4.safetensors"):
        TTS.from_pretrained(folder, dtype="int4")
    path.unlink()
    with pytest.raises(ValueError, match="has no weights in int4: run sled quantize"):
        TTS.from_pretrained(folder, dtype="int4")


def test_the_command_writes_the_file(tmp_path, capsys):
    folder, texts = debug_checkpoint(tmp_path / "model", **ODD), tmp_path / "texts.txt"
    texts.write_text("four two\n\nseven one\n")
    assert run("quantize", "--model", folder, "--texts", texts, "--group", 64) == 0
    assert (folder / INT4_FILE).is_file()
    assert "outputs of a matrix change by" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--group", 12), "group=12 must be a multiple of 8"),
        (("--limit", 0), "--limit 0 must be at least 1"),
        (("--texts", "empty.txt"), "there is no text to speak"),
        (("--texts", "absent.txt"), "no text file at"),
        (("--model", "absent"), "no checkpoint"),
    ],
)
def test_bad_input_is_one_line(quantized, tmp_path, capsys, flags, message):
    (tmp_path / "texts.txt").write_text("four\n")
    (tmp_path / "empty.txt").write_text("\n \n")
    given = {"--model": quantized, "--texts": "texts.txt"} | {flags[0]: flags[1]}
    if flags[0] != "--model":
        given["--texts"] = tmp_path / given["--texts"]
    else:
        given["--model"] = tmp_path / "absent"
        given["--texts"] = tmp_path / "texts.txt"
    assert run("quantize", *(part for pair in given.items() for part in pair)) == 2
    assert message in capsys.readouterr().err
