"""Lets the streams of a codec decode by the compiled kernels."""

from __future__ import annotations

from sled.codec import Codec, EncodecCodec, SpectralCodec
from sled.fast.native.encodec import NativeStreamingDecoder
from sled.fast.native.spectral import native_stack


def use_kernels(codec: Codec) -> None:
    """Let the streams of a codec on the CPU decode by the kernels, if there are some for it."""
    stored = codec.stored
    if stored.device.type != "cpu":
        return
    if isinstance(stored, EncodecCodec):
        stored.new_streaming_decoder = NativeStreamingDecoder
    elif isinstance(stored, SpectralCodec):
        stored.new_decoder_stack = native_stack
