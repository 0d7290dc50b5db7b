"""Neural audio codecs: waveforms to latents and back."""

from sled.codec.base import Codec
from sled.codec.encodec import EncodecCodec, load_codec

__all__ = ["Codec", "EncodecCodec", "load_codec"]
