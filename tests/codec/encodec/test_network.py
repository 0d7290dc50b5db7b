"""Our networks of Encodec against transformers' `EncodecModel`, and the files of both."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import EncodecModel

from sled.codec import CodecParts, EncodecCodec
from sled.codec.encodec.config import EncodecConfig
from sled.codec.encodec.files import TRAINING_AVERAGES, load_encodec
from sled.codec.encodec.initialize import new_encodec
from sled.codec.encodec.network import Encodec
from tests.debug import GOLDENS, randn

ARCHITECTURES: dict[str, dict[str, object]] = {
    "usual": {},
    "not causal": {"use_causal_conv": False},
    "zero padding": {"pad_mode": "constant"},
    "edge padding, not causal": {"pad_mode": "replicate", "use_causal_conv": False},
    "norm over time": {"norm_type": "time_group_norm"},
    "norm over time, not causal": {"norm_type": "time_group_norm", "use_causal_conv": False},
    "one lstm layer, identity shortcuts": {"num_lstm_layers": 1, "use_conv_shortcut": False},
    "trimmed on both sides": {"trim_right_ratio": 0.4, "upsampling_ratios": (3, 5)},
    "more residual blocks": {
        "num_residual_layers": 2,
        "residual_kernel_size": 5,
        "dilation_growth_rate": 3,
        "compress": 1,
    },
    "odd kernels": {"kernel_size": 4, "last_kernel_size": 3, "residual_kernel_size": 1},
}
each_architecture = pytest.mark.parametrize("name", ARCHITECTURES)


def oracle(name: str = "usual") -> EncodecModel:
    """A model of transformers in which every tensor matters."""
    options: dict[str, object] = {"num_filters": 2, "hidden_size": 6, "codebook_size": 16}
    options |= {"upsampling_ratios": (4, 2), "sampling_rate": 600, "target_bandwidths": (0.6, 0.9)}
    model = EncodecModel(transformers.EncodecConfig(**(options | ARCHITECTURES[name]))).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in (*model.parameters(), *model.buffers()):
            if weight.is_floating_point():
                weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
    return model


def ours(model: EncodecModel) -> Encodec:
    own = Encodec(EncodecConfig.from_dict(model.config.to_dict()))
    own.load_state_dict(model.state_dict())
    return own


def assert_same_tensors(got: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert got.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert got[name].equal(tensor), name


@each_architecture
def test_it_computes_what_transformers_computes(name: str) -> None:
    """To the bit; also where the signal is shorter than its padding, or is no whole frame."""
    wanted = oracle(name)
    own = ours(wanted)
    codec = EncodecCodec(ours(wanted), num_codebooks=64)
    # A norm over time is not defined for a single frame.
    short = (17,) if "norm over time" in name else (1, 2, 7)
    for length in (*short, 64, 301):
        waveform = 0.5 * randn(2, 1, length, seed=length)
        with torch.no_grad():
            features = wanted.encoder(waveform)
            assert own.encoder(waveform).equal(features)
            assert own.decoder(features).equal(wanted.decoder(features))
            codes = wanted.quantizer.encode(features)
            assert own.quantizer.encode(features).equal(codes)
            assert own.quantizer.decode(codes).equal(wanted.quantizer.decode(codes))
            latents = wanted.quantizer.decode(codes).mT
            assert codec.codes_to_units(codes.movedim(1, 0)).equal(latents)
            assert codec.decode(latents).equal(wanted.decoder(latents.mT)[:, 0])
        # Clip by clip, where the sums of products may be cut up differently.
        for row, own_codes in enumerate(codec.encode(list(waveform[:, 0]))):
            assert (own_codes == codes[:, row]).float().mean() > 0.99


@each_architecture
def test_gradients_are_those_of_transformers(name: str) -> None:
    wanted = oracle(name)
    own = ours(wanted)
    for model in (wanted, own):
        model.decoder(model.encoder(0.5 * randn(1, 1, 40))).square().sum().backward()
    gradients = {name: weight.grad for name, weight in wanted.named_parameters()}
    for weight_name, weight in own.named_parameters():
        assert weight.grad is not None
        assert weight.grad.equal(gradients[weight_name]), weight_name
    assert list(gradients) == [weight_name for weight_name, _ in own.named_parameters()]


@each_architecture
def test_files_of_transformers_are_read_and_written(name: str, tmp_path: Path) -> None:
    wanted = oracle(name)
    wanted.save_pretrained(tmp_path / "theirs")
    own = load_encodec(tmp_path / "theirs")
    assert_same_tensors(own.state_dict(), wanted.state_dict())
    CodecParts(own).save(tmp_path / "ours")
    again = EncodecModel.from_pretrained(tmp_path / "ours")
    kept = {name: x for name, x in wanted.state_dict().items() if TRAINING_AVERAGES not in name}
    read = {name: x for name, x in again.state_dict().items() if name in kept}
    assert_same_tensors(read, kept)
    for key in EncodecConfig.__dataclass_fields__:
        wished, got = getattr(wanted.config, key), getattr(again.config, key)
        assert (list(got) if isinstance(got, (list, tuple)) else got) == (
            list(wished) if isinstance(wished, (list, tuple)) else wished
        ), key


def test_half_precision_is_kept_in_files_and_read_as_float32(tmp_path: Path) -> None:
    parts = CodecParts(ours(oracle()))
    parts.model.half()
    parts.save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float16"
    stored = load_file(tmp_path / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    loaded = load_encodec(tmp_path).state_dict()
    for name, tensor in stored.items():
        assert loaded[name].equal(tensor.float()), name


def test_the_names_of_older_torch_versions_are_read(tmp_path: Path) -> None:
    """The published weights have them."""
    wanted = oracle()
    wanted.save_pretrained(tmp_path)
    renamed = {}
    for name, tensor in load_file(tmp_path / "model.safetensors").items():
        name = re.sub(r"parametrizations\.weight\.original0", "weight_g", name)
        renamed[re.sub(r"parametrizations\.weight\.original1", "weight_v", name)] = tensor
    save_file(renamed, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert_same_tensors(load_encodec(tmp_path).state_dict(), wanted.state_dict())


def test_a_new_model_is_that_of_transformers() -> None:
    torch.manual_seed(5)
    wanted = EncodecModel(transformers.EncodecConfig(num_filters=2)).state_dict()
    torch.manual_seed(5)
    assert_same_tensors(new_encodec(EncodecConfig(num_filters=2)).state_dict(), wanted)


def test_loading_draws_no_random_numbers_and_holds_no_more_than_the_file() -> None:
    before = torch.get_rng_state()
    model = load_encodec(GOLDENS / "codec")
    assert torch.get_rng_state().equal(before)
    codec = EncodecCodec(model)
    own = {x.data_ptr(): x.nbytes for x in codec._decoder.parameters()}
    assert sum(own.values()) <= sum(x.nbytes for x in model.decoder.parameters())


def test_the_codec_needs_neither_transformers_nor_scipy_nor_lhotse() -> None:
    """Importing these would take longer than all else."""
    program = (
        "import sys, torch; from sled.codec import load_codec; "
        f"codec = load_codec({str(GOLDENS / 'codec')!r}); "
        "codec.decode(codec.codes_to_units(codec.encode([torch.ones(900)])[0])[None]); "
        "codec.stream_decoder().decode(torch.zeros(1, 9, 32)); "
        "print({name.split('.')[0] for name in sys.modules} & {'transformers', 'scipy', 'lhotse'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"norm_type": "none"}, "norm_type 'none'"),
        ({"codebook_size": 1000}, "power of two"),
        ({"use_causal_conv": False, "trim_right_ratio": 0.5}, "trim_right_ratio 0.5"),
        ({"model_type": "dac"}, "model_type is 'dac'"),
    ],
)
def test_architectures_that_do_not_exist(
    change: dict[str, object], problem: str, tmp_path: Path
) -> None:
    config = EncodecConfig().to_dict() | change
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=problem):
        load_encodec(tmp_path)
