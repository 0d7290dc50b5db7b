"""Export of checkpoints in half precision."""

import pytest
import torch
from safetensors.torch import load_file

from sled.codec import load_codec
from sled.model.huggingface import SpeechLlamaForCausalLM
from sled.model.layout import Layout
from sled.model.registry import save_speech_lm
from sled.training.export import export
from sled.tts import TTS
from tests.debug import GOLDENS, debug_checkpoint, debug_codec, debug_model, randn


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_an_exported_model_is_the_same_but_for_rounding(dtype, tmp_path):
    export(debug_checkpoint(tmp_path / "full"), tmp_path / "half", dtype=dtype)
    files = {path.name for path in (tmp_path / "half").iterdir()}
    assert {"config.json", "model.safetensors", "vocab.json", "merges.txt"} <= files
    loaded = SpeechLlamaForCausalLM.from_pretrained(tmp_path / "half", dtype=torch.float32)
    for name, weight in debug_model().named_parameters():
        assert loaded.get_parameter(name).equal(weight.to(getattr(torch, dtype)).float())


def test_an_exported_codec_is_half_the_size_and_runs_in_float32(tmp_path):
    export(debug_checkpoint(tmp_path / "full"), tmp_path / "half", GOLDENS / "codec")
    weights = load_file(tmp_path / "half" / "codec" / "model.safetensors").values()
    assert {tensor.dtype for tensor in weights if tensor.is_floating_point()} == {torch.float16}
    latents = randn(1, 5, 32)
    shipped = load_codec(tmp_path / "half" / "codec").decode(latents)
    assert shipped.dtype == torch.float32
    torch.testing.assert_close(shipped, debug_codec().decode(latents), rtol=0, atol=1e-2)


def test_a_codec_is_shipped_without_what_only_its_training_reads(tmp_path):
    export(debug_checkpoint(tmp_path / "full"), tmp_path / "half", GOLDENS / "codec", "float32")
    names = load_file(tmp_path / "half" / "codec" / "model.safetensors").keys()
    assert not any("embed_avg" in name for name in names)
    shipped, codes = load_codec(tmp_path / "half" / "codec"), torch.randint(64, (1, 8, 5))
    assert shipped.digest() == debug_codec().digest()
    assert shipped.codes_to_units(codes).equal(debug_codec().codes_to_units(codes))


def test_weights_beyond_half_precision_are_refused(tmp_path):
    folder, model = debug_checkpoint(tmp_path / "full"), debug_model()
    model.eos_head.weight.data[0, 0] = 1e5  # the largest float16 is 65504
    save_speech_lm(model, folder)
    with pytest.raises(ValueError, match="eos_head.weight is out of range of float16"):
        export(folder, tmp_path / "half")
    assert not (tmp_path / "half").exists()
    export(folder, tmp_path / "half", dtype="bfloat16")


@pytest.mark.parametrize("file", ["vocab.json", "codec/config.json"])
def test_an_earlier_export_stays_whole_if_a_later_one_fails(file, tmp_path):
    model, shipped = debug_checkpoint(tmp_path / "full"), tmp_path / "half"
    export(model, shipped, model / "codec")
    before = {path: path.stat().st_mtime_ns for path in shipped.rglob("*")}
    (model / file).write_text("{rubbish")
    with pytest.raises(ValueError, match="full"):
        export(model, shipped, model / "codec", dtype="bfloat16")
    assert {path: path.stat().st_mtime_ns for path in shipped.rglob("*")} == before


@pytest.mark.parametrize("setting", ["temperature", "cfg", "draws"])
def test_a_setting_that_cannot_be_is_refused(setting, tmp_path):
    with pytest.raises(ValueError, match=f"{setting}=-1"):
        export(debug_checkpoint(tmp_path / "full"), tmp_path / "half", **{setting: -1})
    assert not (tmp_path / "half").exists()


def test_an_exported_model_may_be_told_how_warm_to_speak(tmp_path):
    """It is then the default temperature."""
    export(
        debug_checkpoint(tmp_path / "full"),
        tmp_path / "cool",
        GOLDENS / "codec",
        temperature=0,
        cfg=1.5,
        draws=4,
    )
    tts = TTS.from_pretrained(tmp_path / "cool")
    own = tts.default_options
    assert (own.temperature, own.cfg, own.draws) == (0, 1.5, 4)
    readings = [tts.say("one", seed=seed, layout=Layout()).audio for seed in (1, 2)]
    assert (readings[0] == readings[1]).all()
    usual = TTS.from_pretrained(tmp_path / "full").default_options
    assert (usual.temperature, usual.cfg, usual.draws) == (1, 2, 1)
