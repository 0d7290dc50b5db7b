"""Streaming Encodec against the `encodec` package, which only knows whole signals."""

import pytest
import torch

from sled.codec import Codec

# Skips this file too where the package is missing.
from tests.codec.encodec import test_model_package as package

oracle, codec = package.oracle, package.codec


@pytest.mark.parametrize("sizes", [[1] * 10, [3, 9, 0, 5], [4]])
def test_decodes_alike(oracle: torch.nn.Module, codec: Codec, sizes: list[int]) -> None:
    codes = torch.randint(1024, (2, 8, sum(sizes)), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = oracle.decode([(codes, None)]).squeeze(1)
    stream = codec.stream_decoder(2)
    pieces = [stream.decode(piece) for piece in codec.codes_to_units(codes).split(sizes, 1)]
    audio = torch.cat([*pieces, stream.finish()], 1)
    assert wanted.std() > 1e-3
    torch.testing.assert_close(audio, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sizes", [[500] * 6, [2300, 1, 419], [700]])
def test_encodes_alike(oracle: torch.nn.Module, codec: Codec, sizes: list[int]) -> None:
    clips = 0.2 * torch.randn(2, sum(sizes), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        ((wanted, _),) = oracle.encode(clips[:, None])
    stream = codec.stream_encoder(2)
    pieces = [stream.encode(piece) for piece in clips.split(sizes, 1)]
    assert torch.equal(torch.cat([*pieces, stream.finish()], 2), wanted)
