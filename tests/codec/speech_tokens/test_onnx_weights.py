"""Weights of speech tokenizers, read out of their ONNX files."""

import pytest
import torch
import torch.nn.functional as F

from sled.codec.speech_tokens.export import export_tokenizer
from sled.codec.speech_tokens.network import TokenizerNetwork, TokenizerSizes
from sled.codec.speech_tokens.onnx_weights import read_onnx_tokenizer

WIDTH = 128
SIZES = {"n_audio_state": WIDTH, "n_audio_head": 2, "n_audio_layer": 2}


def random_network(sizes: TokenizerSizes) -> TokenizerNetwork:
    """A network in which no two tensors are equal."""
    torch.manual_seed(0)
    network = TokenizerNetwork(sizes)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.1 * torch.randn(weight.shape) / max(1, weight[0].numel()) ** 0.5
    if sizes.version == 1:
        F.normalize(torch.randn(sizes.n_codebook_size, WIDTH), out=network.quantizer.codebook.embed)
    return network.eval()


@pytest.mark.parametrize(
    "sizes",
    [
        TokenizerSizes(version=1, n_codebook_size=300, first_stride=1, **SIZES),
        TokenizerSizes(version=1, n_codebook_size=300, **SIZES),
        TokenizerSizes(version=2, **SIZES),
    ],
)
def test_the_weights_are_those_of_the_exported_network(sizes, tmp_path):
    network = random_network(sizes)
    export_tokenizer(network, tmp_path / "tokenizer.onnx")
    read = read_onnx_tokenizer(tmp_path / "tokenizer.onnx")
    mel, lengths = torch.randn(2, 128, 90), torch.tensor([90, 61])
    with torch.no_grad():
        (ours, num_ours), (theirs, num_theirs) = read(mel, lengths), network(mel, lengths)
    assert num_ours.equal(num_theirs)
    for row, count in enumerate(num_ours.tolist()):
        assert ours[row, :count].equal(theirs[row, :count])
    positions = sizes.n_audio_ctx if sizes.version == 2 else read.sizes.n_audio_ctx
    assert read.sizes == TokenizerSizes(**{**vars(sizes), "n_audio_ctx": positions})


def test_what_holds_no_such_network_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no ONNX file"):
        read_onnx_tokenizer(tmp_path / "none.onnx")
    (tmp_path / "damaged.onnx").write_bytes(b"no graph")
    with pytest.raises(ValueError, match="use it as an ONNX file"):
        read_onnx_tokenizer(tmp_path / "damaged.onnx")
    torch.onnx.export(
        torch.nn.Linear(3, 2), (torch.zeros(1, 3),), str(tmp_path / "other.onnx"), dynamo=False
    )
    with pytest.raises(ValueError, match="use it as an ONNX file"):
        read_onnx_tokenizer(tmp_path / "other.onnx")
