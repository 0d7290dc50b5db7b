"""Moves a model to another codec of the same rate: move.py MODEL CODEC CUTS OUTPUT [HOURS].

What the model knows of text stays. The layers that read and draw units get the weights with which
they agree best with the old ones: a linear map between the units that both codecs give the same
recordings (least squares). From there, sled train --finetune_path OUTPUT --codec CODEC goes on.
Both codecs need a token channel, which is not mapped but scaled.

Shapes: T units of all recordings, D and E the widths of old and new units without their channels.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from sled.codec import Codec, TokenChannel, load_codec
from sled.data.dataset import open_corpus
from sled.model.huggingface import SpeechLlamaForCausalLM
from sled.training.checkpoints.folder import write_checkpoint
from sled.training.parts import start_folder
from sled.training.setup import with_unit_size


@torch.no_grad()
def main(model: str, codec: str, cuts: str, output: str, hours: str = "0.5") -> None:
    """Write the moved model."""
    folder = start_folder(model)
    assert folder is not None
    old_codec, new_codec = load_codec(folder / "codec"), load_codec(codec)
    old_channel, new_channel = channel_of(old_codec), channel_of(new_codec)
    old, new = paired_units(old_codec, new_codec, Path(cuts), float(hours))
    old, new = old[:, : -old_channel.channel_width], new[:, : -new_channel.channel_width]
    to_old, old_shift = least_squares(new, old)
    to_new, new_shift = least_squares(old, new)
    print(f"of the old units' variance, {explained(old, new @ to_old.T + old_shift):.0%} is mapped")
    print(f"of the new units' variance, {explained(new, old @ to_new.T + new_shift):.0%} is mapped")
    ratio = norm(new_channel) / norm(old_channel)

    source = SpeechLlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    moved = with_unit_size(source, new.shape[1] + new_channel.channel_width)
    width, reader = old.shape[1], source.z_proj
    moved.z_proj.weight.copy_(
        torch.cat((reader.weight[:, :width] @ to_old, reader.weight[:, width:] / ratio), 1)
    )
    moved.z_proj.bias.copy_(reader.bias + reader.weight[:, :width] @ old_shift)
    last, new_last = (each.scoreloss.net.final_layer.linear for each in (source, moved))
    new_last.weight.copy_(torch.cat((to_new @ last.weight[:width], last.weight[width:] * ratio)))
    new_last.bias.copy_(
        torch.cat((to_new @ last.bias[:width] + new_shift, last.bias[width:] * ratio))
    )
    write_checkpoint(moved, folder, Path(output))


def paired_units(old: Codec, new: Codec, cuts: Path, hours: float) -> tuple[Tensor, Tensor]:
    """Units [T, D] and [T, E] of the same recordings."""
    pairs, seconds = [], 0.0
    for cut in open_corpus([cuts]):
        audio = torch.from_numpy(cut.resample(old.sample_rate).load_audio()[0])
        units = [codec.codes_to_units(codec.encode([audio])[0][None])[0] for codec in (old, new)]
        length = min(map(len, units))
        pairs.append([each[:length] for each in units])
        seconds += cut.duration
        if seconds > 3600 * hours:
            break
    first, second = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    return first, second


def least_squares(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Matrix [E, D] and shift [E] of the best linear map of x [T, D] to y [T, E]."""
    ones = torch.cat((x, torch.ones(len(x), 1)), 1).double()
    gram = ones.T @ ones + 1e-3 * len(x) * torch.eye(ones.shape[1], dtype=torch.float64)
    solution = torch.linalg.solve(gram, ones.T @ y.double()).float()
    return solution[:-1].T.contiguous(), solution[-1]


def explained(wanted: Tensor, got: Tensor) -> float:
    """The share of the variance of vectors [T, D] that others explain."""
    return float(1 - (wanted - got).square().sum() / (wanted - wanted.mean(0)).square().sum())


def channel_of(codec: Codec) -> TokenChannel:
    """The token channel of a codec."""
    assert codec.token_channel is not None, "the codec has no token channel"
    return codec.token_channel


def norm(channel: TokenChannel) -> float:
    """The norm of what is in a token channel."""
    return float((channel.tokens[0].square().sum() + channel.phases[0].square().sum()).sqrt())


if __name__ == "__main__":
    main(*sys.argv[1:])
