"""Small codecs of each family, decoded by torch and by the kernels."""

import torch

from sled.codec import Codec, EncodecCodec, SpectralCodec
from sled.codec.encodec.config import EncodecConfig
from sled.codec.encodec.initialize import new_encodec
from sled.codec.spectral.config import SpectralConfig
from sled.codec.spectral.layers import Pointwise
from sled.codec.spectral.network import Spectral, new_spectral
from sled.fast import use_kernels

LATENT_SIZE = 12

# In each one, something else is unusual. Of Encodec, the last ones have no kernels, and are decoded
# by torch.
ENCODEC: dict[str, dict[str, object]] = {
    "usual": {},
    "identity shortcuts": {"use_conv_shortcut": False},
    "zero padding": {"pad_mode": "constant"},
    "edge padding": {"pad_mode": "replicate"},
    "no residual blocks": {"num_residual_layers": 0, "num_lstm_layers": 1},
    "many residual blocks": {"num_residual_layers": 3, "dilation_growth_rate": 1},
    "short kernels": {"kernel_size": 1, "last_kernel_size": 2, "residual_kernel_size": 1},
    "wide dilations": {"num_residual_layers": 2, "dilation_growth_rate": 3},
    "trimmed on both sides": {"trim_right_ratio": 0.5},
}
SPECTRAL: dict[str, dict[str, int]] = {
    "usual": {},
    "no blocks": {"decoder_blocks": 0},
    "short kernels": {"kernel_size": 1},
    "many columns": {"columns_per_frame": 6, "expansion": 2},
}
SPECTRAL_SIZES: dict[str, int] = {"stft_hop": 16, "stft_window": 64, "mel_bands": 20}
SPECTRAL_SIZES |= {"encoder_width": 8, "decoder_width": 32, "decoder_blocks": 3}


def encodec_pair(**changes: object) -> tuple[Codec, Codec]:
    """The same small Encodec, decoded by torch and by the kernels."""
    torch.manual_seed(0)
    options: dict = {"num_filters": 4, "hidden_size": LATENT_SIZE, "codebook_size": 16}
    options |= {"sampling_rate": 450, "upsampling_ratios": (3, 2), "target_bandwidths": (3.0,)}
    model = new_encodec(EncodecConfig(**(options | changes)))
    for weight in model.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    plain, fast = EncodecCodec(model), EncodecCodec(model)
    use_kernels(fast)
    return plain, fast


def spectral(**changes: int) -> Spectral:
    """Small networks. Their pitch is constant: it is rounded, and so may differ by a step."""
    torch.manual_seed(0)
    model = new_spectral(SpectralConfig(latent_size=LATENT_SIZE, **(SPECTRAL_SIZES | changes)))
    for weight in model.decoder.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    last = model.decoder.stack.layers[-2]
    assert isinstance(last, Pointwise)
    last.linear.weight.data[0] = 0
    return model.requires_grad_(False)


def spectral_pair(**changes: int) -> tuple[Codec, Codec]:
    """The same small spectral codec, decoded by torch and by the kernels."""
    model = spectral(**changes)
    plain, fast = SpectralCodec(model), SpectralCodec(model)
    use_kernels(fast)
    return plain, fast


def assert_same_signal(got: torch.Tensor, wanted: torch.Tensor) -> None:
    """Compare up to rounding."""
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)
