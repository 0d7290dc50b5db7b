"""Parts of CosyVoice as TorchScript: what they compute, and the published interface."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from sled.codec.flow.torchscript import export_torchscript
from sled.codec.memory import Memory
from sled.model.tokens.relative_attention import RelativeStack
from tests.codec.flow.models import cosyvoice2_flow, cosyvoice_flow, step_flow
from tests.commands import run_script
from tests.debug import randn
from tests.tokens import debug_cosyvoice


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("exported")
    written = export_torchscript(debug_cosyvoice().eval(), cosyvoice_flow(), folder)
    names = ("llm.text_encoder", "llm.llm", "flow.encoder")
    assert {path.name for path in written} == {
        f"{name}.{kind}.zip" for name in names for kind in ("fp32", "fp16")
    }
    return folder


def causal_states(stack: RelativeStack, inputs: Tensor) -> Tensor:
    states: Tensor = stack(inputs, stack.pack([len(inputs)], inputs))
    return states


@torch.no_grad()
def test_the_text_encoder_is_causal_and_leaves_padding_out(files: Path) -> None:
    lm, part = debug_cosyvoice().eval(), torch.jit.load(files / "llm.text_encoder.fp32.zip")
    inputs = randn(2, 9, lm.sizes.text_encoder.input_size)
    states, valid = part(inputs, torch.tensor([9, 5]), decoding_chunk_size=1)
    assert valid.shape == (2, 1, 9) and valid.sum((1, 2)).tolist() == [9, 5]
    for row, length in enumerate((9, 5)):
        expected = causal_states(lm.text_encoder, inputs[row, :length])
        torch.testing.assert_close(states[row, :length], expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_decoder_continues_with_its_cache(files: Path) -> None:
    lm, part = debug_cosyvoice().eval(), torch.jit.load(files / "llm.llm.fp32.zip")
    inputs = randn(1, 12, lm.sizes.llm.input_size)
    cache, convolutions, pieces = torch.zeros(0, 0, 0, 0), torch.zeros(0, 0, 0, 0), []
    for piece in inputs.split([7, 1, 1, 3], 1):
        count, before = piece.shape[1], sum(one.shape[1] for one in pieces)
        mask = torch.ones(1, count, before + count, dtype=torch.bool).tril(before)
        states, cache, convolutions = part.forward_chunk(
            piece, before, -1, cache, convolutions, mask
        )
        pieces.append(states)
    sizes = lm.sizes.llm
    width = sizes.output_size // sizes.attention_heads
    assert cache.shape == (sizes.num_blocks, sizes.attention_heads, 12, 2 * width)
    expected = causal_states(lm.llm, inputs[0])
    torch.testing.assert_close(torch.cat(pieces, 1)[0], expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_encoders_of_flows_are_those_of_the_network(files: Path, tmp_path: Path) -> None:
    first, lengths = cosyvoice_flow(), torch.tensor([40, 23])
    inside = torch.arange(40) < lengths[:, None]
    part = torch.jit.load(files / "flow.encoder.fp32.zip")
    x = randn(2, 40, first.sizes.input_size)
    close = {"atol": 1e-5, "rtol": 1e-5}
    expected = first.encoder.encode(x, inside)
    torch.testing.assert_close(part(x, lengths)[0][inside], expected[inside], **close)
    halves = torch.jit.load(files / "flow.encoder.fp16.zip")
    found = halves(x.half(), lengths)[0][inside].float()
    assert float((found - expected[inside]).norm() / expected[inside].norm()) < 1e-2

    second = cosyvoice2_flow()
    export_torchscript(None, second, tmp_path)
    part = torch.jit.load(tmp_path / "flow.encoder.fp32.zip")
    x = randn(2, 40, second.sizes.input_size)
    twice = inside.repeat_interleave(2, 1)
    for streaming in (False, True):
        expected = second.encoder.encode(x, inside, second.chunk if streaming else 0)
        states, valid = part(x, lengths, streaming=streaming)
        torch.testing.assert_close(states[twice], expected[twice], **close)
        assert valid[:, 0].equal(twice)
    later = randn(2, second.lookahead, second.sizes.input_size, seed=1)
    start = torch.zeros(2, dtype=torch.long)
    expected = second.encoder.step(x, later, start, Memory.of_whole(), Memory.of_whole())
    full = torch.tensor([40, 40])
    torch.testing.assert_close(part(x, full, context=later)[0], expected, **close)


def test_the_published_script_writes_what_is_published_of_cosyvoice2(tmp_path: Path) -> None:
    torch.save(step_flow().state_dict(), tmp_path / "flow.pt")
    assert run_script("export_jit", "--model_dir", tmp_path) == 2
    torch.save(cosyvoice2_flow().state_dict(), tmp_path / "flow.pt")
    assert run_script("export_jit", "--model_dir", tmp_path) == 0
    written = sorted(path.name for path in tmp_path.glob("*.zip"))
    assert written == ["flow.encoder.fp16.zip", "flow.encoder.fp32.zip"]
