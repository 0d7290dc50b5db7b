"""Setting the scale of an Encodec model's signals: at its start, and when it is exported."""

import torch
from torch import Tensor, nn

from sled.codec.encodec.network import Conv, ConvTranspose, Encodec

CONVOLUTIONS = (Conv, ConvTranspose)


def _gain(layer: nn.Module) -> nn.Parameter:
    """The weight-norm gain of an Encodec convolution, one number per row of its weight."""
    return layer.get_parameter("conv.parametrizations.weight.original0")


@torch.no_grad()
def initialize_variance(model: Encodec, waveforms: Tensor) -> None:
    """Give every convolution's output unit variance on a batch, in one forward pass.

    PyTorch's default initialisation loses two thirds of the variance in each of the thirty-odd
    layers, so that the output of an untrained Encodec is almost zero and it learns nothing for
    thousands of steps. This follows "All you need is a good init" (Mishkin and Matas, 2016), layer
    by layer.

    Args:
        model: freshly made model, changed in place.
        waveforms: training segments [B, 1, S] of unit level.
    """

    def rescale(layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        scale = 1 / output.std().clamp(min=1e-8)
        _gain(layer).mul_(scale)
        return output * scale

    layers = [m for m in model.modules() if isinstance(m, CONVOLUTIONS)]
    for layer in layers:
        layer.get_parameter("conv.bias").zero_()
    hooks = [layer.register_forward_hook(rescale) for layer in layers]
    try:
        model.decoder(model.encoder(waveforms))
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def rescale_waveforms(model: Encodec, scale: float) -> None:
    """Make a model, trained on waveforms times `scale`, work on waveforms at their true level.

    Learning rates suit signals of unit level, and speech has about 0.07: the gain of a decoder
    trained at that level would be so small that every step overshoots.

    Args:
        model: codec with weight-normed convolutions, changed in place.
        scale: positive factor that training applied to waveforms.
    """
    _gain(model.encoder.layers[0]).mul_(scale)
    rescale_output(model, scale)


@torch.no_grad()
def rescale_output(model: Encodec, scale: float) -> None:
    """Make a decoder, trained to give waveforms times `scale`, give them at their true level.

    Args:
        model: codec with weight-normed convolutions, of which only the decoder is changed, in
            place.
        scale: positive factor.
    """
    last = model.decoder.layers[-1]
    _gain(last).div_(scale)
    last.get_parameter("conv.bias").div_(scale)


@torch.no_grad()
def rescale_latents(model: Encodec, scale: float) -> None:
    """Multiply the latent space by `scale` without changing what the codec computes.

    The encoder's last layer and all codebooks grow, the decoder's first layer shrinks: codes and
    audio stay the same up to rounding. A language model then sees inputs and targets of a scale
    that we choose.

    Args:
        model: codec with weight-normed convolutions, changed in place.
        scale: positive factor.

    Raises:
        ValueError: if `scale` is not positive and finite.
    """
    if not 0 < scale < float("inf"):
        raise ValueError(f"the latent scale must be positive and finite, got {scale}")
    last, first = model.encoder.layers[-1], model.decoder.layers[0]
    _gain(last).mul_(scale)
    last.get_parameter("conv.bias").mul_(scale)
    _gain(first).div_(scale)
    for codebook in model.quantizer.codebooks:
        codebook.embed.mul_(scale)
        codebook.embed_avg.mul_(scale)
