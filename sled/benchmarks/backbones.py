"""Speed of our backbone on packed samples, beside transformers' Llama on padded ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import LlamaConfig, LlamaModel

from sled.benchmarks.timing import time_in_turns
from sled.data.dataset import length_mask
from sled.model.backbone import Backbone
from sled.model.config import Config, Objective

OURS, BASELINE = "ours, packed", "transformers' LlamaModel, padded"


def compare_backbones(
    config: Config,
    lengths: Sequence[int],
    *,
    rounds: int,
    device: torch.device,
    bf16: bool,
    compile_layers: bool,
) -> dict[str, list[float]]:
    """Time forward and backward passes of both, without dropout.

    Args:
        config: Sizes of both.
        lengths: Number of positions of each sample of the batch.
        rounds: Number of passes.
        device: Device to run on.
        bf16: Use autocast to bfloat16.
        compile_layers: Compile the layers of both.

    Returns:
        Seconds of each pass.
    """
    ours, theirs = make_backbones(config)
    for module in (ours, theirs):
        nn.Module.to(module, device).train()
    if compile_layers:
        for layer in (*ours.layers, *theirs.layers):
            layer.compile(dynamic=True)
    samples = [
        torch.randn(length, config.architecture.hidden_size, device=device) for length in lengths
    ]
    packed = torch.cat(samples).requires_grad_()
    padded = pad_sequence(samples, batch_first=True).requires_grad_()
    mask = length_mask(torch.tensor(lengths, device=device))

    def pass_through(module: nn.Module, forward: Callable[[], Tensor]) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            hidden = forward()
        hidden.float().square().mean().backward()  # type: ignore[no-untyped-call]
        module.zero_grad()

    def run_ours() -> None:
        pass_through(ours, lambda: ours(packed, ours.pack(list(lengths), packed)))

    def run_theirs() -> None:
        pass_through(theirs, lambda: run_llama(theirs, padded, mask))

    return time_in_turns({OURS: run_ours, BASELINE: run_theirs}, rounds, device)


def make_backbones(config: Config) -> tuple[Backbone, LlamaModel]:
    """Make both backbones in the same sizes, with random weights, without dropout."""
    architecture = config.architecture
    objective = Objective(dropout=0.0, attention_dropout=0.0, activation_dropout=0.0)
    llama = LlamaConfig(
        vocab_size=architecture.vocab_size,
        hidden_size=architecture.hidden_size,
        intermediate_size=architecture.intermediate_size,
        num_hidden_layers=architecture.num_hidden_layers,
        num_attention_heads=architecture.num_attention_heads,
        num_key_value_heads=architecture.num_key_value_heads,
        head_dim=architecture.head_dim,
        max_position_embeddings=architecture.max_position_embeddings,
        rms_norm_eps=architecture.rms_norm_eps,
        # transformers takes it, and does not declare it.
        rope_theta=architecture.rope_theta,  # type: ignore[call-arg]
    )
    return Backbone(architecture, objective), LlamaModel(llama)


def run_llama(llama: LlamaModel, embeddings: Tensor, mask: Tensor) -> Tensor:
    """Return hidden states [B, L, H] of padded embeddings; `mask` [B, L] is 0 at padding."""
    output = llama(inputs_embeds=embeddings, attention_mask=mask, use_cache=False)
    hidden: Tensor = output.last_hidden_state
    return hidden
