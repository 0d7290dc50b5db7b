"""Speed of flow and vocoder as a stream: what each chunk costs, and whether it stays the same."""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch

from sled.benchmarks.flags import check_at_least, open_device
from sled.benchmarks.report import Report, Spread, describe_machine, table
from sled.codec.flow.cosyvoice2 import CosyVoice2Flow, CosyVoice2FlowSizes
from sled.codec.flow.encoder import UpsamplingSizes
from sled.codec.flow.matching import SolverOptions
from sled.codec.flow.unet import UNetSizes
from sled.codec.token_codec.files import TokenNetworks
from sled.codec.token_codec.model import TokenCodec
from sled.codec.token_codec.settings import TokenCodecSettings
from sled.codec.vocoder.base import Vocoder
from sled.codec.vocoder.hift import HiFT, HiFTSizes
from sled.codec.vocoder.vocos import Vocos, VocosSizes
from sled.training.callbacks.throughput import synchronize

# Chunks that are compared with the last ones; the first are short of what attention remembers.
EARLY = slice(4, 9)
LATE = 5


def make_networks(*, published: bool) -> tuple[CosyVoice2Flow, HiFT]:
    """A flow and a vocoder with random weights.

    Args:
        published: Whether they have the published sizes. Else two cores run them faster than real
            time.
    """
    if published:
        return CosyVoice2Flow(CosyVoice2FlowSizes()), HiFT(HiFTSizes())
    encoder = UpsamplingSizes(
        input_size=256,
        output_size=256,
        attention_heads=4,
        linear_units=1024,
        num_blocks=3,
        num_up_blocks=2,
    )
    estimator = UNetSizes(
        channels=(128,), attention_head_dim=32, num_heads=4, n_blocks=1, num_mid_blocks=4
    )
    flow = CosyVoice2Flow(CosyVoice2FlowSizes(input_size=256, encoder=encoder, estimator=estimator))
    return flow, HiFT(HiFTSizes(base_channels=128, f0_channels=128))


def measure(args: argparse.Namespace) -> Report:
    """Decode tokens as the flags say.

    Raises:
        ValueError: For flags that cannot be used.
    """
    check_at_least(args, 1, "seconds", "steps", "threads")
    device = open_device(args)
    torch.manual_seed(0)
    vocoder: Vocoder
    flow, vocoder = make_networks(published=args.size == "published")
    if args.vocoder == "vocos":
        wide = VocosSizes(dim=512, intermediate_dim=1536, num_layers=8)
        vocoder = Vocos(VocosSizes() if args.size == "small" else wide)
    sizes_m = [sum(one.numel() for one in part.parameters()) / 1e6 for part in (flow, vocoder)]
    settings = TokenCodecSettings(
        solver=SolverOptions(steps=args.steps, guidance=args.guidance),
        left_frames=args.left_frames,
    )
    codec = TokenCodec(TokenNetworks(flow, vocoder, settings), device)
    seconds, state_mb = _time_chunks(codec, flow, args.seconds)
    audio_s = flow.chunk / flow.token_rate
    later, late = seconds[1:] or seconds, seconds[-LATE:]
    early = seconds[EARLY] or late
    figures: dict[str, Any] = {
        "flow_parameters_m": sizes_m[0],
        "vocoder_parameters_m": sizes_m[1],
        "first_chunk_s": seconds[0],
        "chunk_s": Spread.of(later),
        "late_over_early": float(np.median(late) / np.median(early)),
        "rtf": float(np.median(later)) / audio_s,
        "state_mb": state_mb,
    }
    rows = [
        ("flow, vocoder, M parameters", f"{sizes_m[0]:.1f}, {sizes_m[1]:.1f}"),
        (f"first chunk, of {flow.chunk + flow.lookahead} tokens, ms", f"{1e3 * seconds[0]:.0f}"),
        (f"later chunks, of {flow.chunk} tokens, ms", f"{1e3 * np.median(later):.0f}"),
        (
            f"last {LATE} over chunks {EARLY.start + 1} to {EARLY.stop}",
            f"{figures['late_over_early']:.3f}",
        ),
        ("real-time factor", f"{figures['rtf']:.3f}"),
        ("state of a stream, MB", f"{state_mb:.0f}"),
    ]
    named = {key: str(value) for key, value in vars(args).items()}
    return Report("flow", describe_machine(device), named, figures, table(rows))


@torch.inference_mode()
def _time_chunks(
    codec: TokenCodec, flow: CosyVoice2Flow, seconds: int
) -> tuple[list[float], float]:
    """Seconds for each chunk of a stream, and the size of its state at the end in MB."""
    generator = torch.Generator().manual_seed(0)
    count = flow.lookahead + round(seconds * flow.token_rate)
    tokens = torch.randint(flow.vocab_size, (1, count), generator=generator)
    warm = codec.stream_decoder()
    warm.decode(tokens[:, : flow.chunk + flow.lookahead])
    stream, took = codec.stream_decoder(), list[float]()
    ends = list(range(flow.chunk + flow.lookahead, count, flow.chunk))
    first, *others = tokens.tensor_split(ends, 1)
    for piece in (first, *others):
        synchronize(codec.device)
        began = time.perf_counter()
        stream.decode(piece)
        synchronize(codec.device)
        took.append(time.perf_counter() - began)
    size = sum(one.numel() * one.element_size() for one in stream.state.tensors())
    return took, size / 1e6
