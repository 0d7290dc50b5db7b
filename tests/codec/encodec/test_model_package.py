"""The `encodec` package as an independent oracle, on the published architecture."""

import sys
import types
from pathlib import Path

import pytest
import torch

from sled.codec import Codec, load_codec
from tests.debug import randn

# The package imports torchaudio for file reading and a spectrogram that we never call.
with pytest.MonkeyPatch.context() as patch:
    patch.setitem(sys.modules, "torchaudio", types.ModuleType("torchaudio"))
    encodec = pytest.importorskip("encodec", reason="pip install --no-deps encodec einops")


@pytest.fixture(scope="module")
def oracle() -> torch.nn.Module:
    """The 24 kHz model with random weights, strong enough that codes and audio vary."""
    torch.manual_seed(0)
    model = encodec.EncodecModel.encodec_model_24khz(pretrained=False)
    for name, parameter in model.named_parameters():
        if name.endswith("weight_g"):
            parameter.data.mul_(1.7)
    for layer in model.quantizer.vq.layers:
        layer._codebook.inited.fill_(1)
        layer._codebook.embed.normal_(std=0.3)
    model.set_target_bandwidth(6.0)
    return model


@pytest.fixture(scope="module")
def codec(oracle: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Codec:
    """Our codec, loaded from the state file that the package's model writes."""
    file = tmp_path_factory.mktemp("weights") / "encodec_24khz.th"
    torch.save(oracle.state_dict(), file)
    return load_codec(file)


@pytest.fixture(scope="module")
def clip() -> torch.Tensor:
    return 0.2 * randn(7000)


def test_encodes_alike(oracle: torch.nn.Module, codec: Codec, clip: torch.Tensor) -> None:
    with torch.no_grad():
        ((wanted, _),) = oracle.encode(clip[None, None])
    codes = codec.encode([clip])[0]
    assert len(wanted.unique()) > 20
    assert torch.equal(codes, wanted[0])


def test_decodes_alike(oracle: torch.nn.Module, codec: Codec) -> None:
    codes = torch.randint(1024, (2, 8, 20), generator=torch.Generator().manual_seed(1))
    latents = codec.codes_to_units(codes)
    with torch.no_grad():
        wanted_latents = oracle.quantizer.decode(codes.transpose(0, 1)).transpose(1, 2)
        wanted = oracle.decode([(codes, None)]).squeeze(1)
    torch.testing.assert_close(latents, wanted_latents)
    audio = codec.decode(latents)
    assert wanted.std() > 1e-3
    assert (audio - wanted).norm() <= 1e-5 * wanted.norm()


def test_state_file_of_another_architecture(oracle: torch.nn.Module, tmp_path: Path) -> None:
    state = dict(oracle.state_dict())
    bias = "encoder.model.0.conv.conv.bias"
    state[bias] = state[bias][:-1]
    del state["decoder.model.0.conv.conv.bias"]
    torch.save(state, tmp_path / "other.th")
    with pytest.raises(ValueError) as refusal:
        load_codec(tmp_path / "other.th")
    assert "missing: decoder.layers.0.conv.bias" in str(refusal.value)
    assert "misshapen: encoder.layers.0.conv.bias [31] for [32]" in str(refusal.value)
