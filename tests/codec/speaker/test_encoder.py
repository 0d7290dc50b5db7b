"""Speaker encoders: CAM++ in PyTorch, and ONNX files; sled check has the recording."""

import pytest
import torch
from safetensors.torch import save_file

from sled.codec.speaker.encoder import load_speaker_encoder
from sled.codec.speaker.network import SpeakerNetwork, SpeakerSizes

TINY = SpeakerSizes(
    embedding_size=12, growth_rate=4, bn_size=2, init_channels=8, block_layers=(2, 1, 1)
)


def network() -> SpeakerNetwork:
    torch.manual_seed(0)
    return SpeakerNetwork(TINY).eval()


def noise(seconds: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(round(16_000 * seconds), generator=generator)


def test_the_published_network_has_its_published_width():
    assert SpeakerSizes.of_state(SpeakerNetwork(SpeakerSizes()).state_dict()) == SpeakerSizes()
    assert SpeakerSizes.of_state(network().state_dict()) == TINY


def test_pytorch_and_onnx_give_the_same_vector(tmp_path):
    save_file(network().state_dict(), tmp_path / "campplus.safetensors")
    torch.save(network().state_dict(), tmp_path / "campplus.pt")
    torch.onnx.export(
        network(),
        (torch.zeros(1, 200, 80),),
        str(tmp_path / "campplus.onnx"),
        input_names=["input"],
        dynamic_axes={"input": {1: "frames"}},
        dynamo=False,
    )
    vectors = [
        load_speaker_encoder(path).encode(noise(3.0))
        for path in (tmp_path / "campplus.safetensors", tmp_path / "campplus.pt", tmp_path)
    ]
    assert vectors[0].shape == (12,)
    for vector in vectors[1:]:
        assert (vector - vectors[0]).norm() < 1e-4 * vectors[0].norm()


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("none.onnx", None, "no ONNX file"),
        ("none.pt", None, "no speaker encoder"),
        ("damaged.onnx", b"no graph", "copy it again"),
        ("damaged.pt", b"no tensors", "copy it again"),
    ],
)
def test_what_is_no_speaker_encoder_is_refused(name, content, word, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=word):
        load_speaker_encoder(tmp_path / name)


def test_tensors_of_something_else_are_refused(tmp_path):
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="no tensors of CAM"):
        load_speaker_encoder(tmp_path / "other.safetensors")
