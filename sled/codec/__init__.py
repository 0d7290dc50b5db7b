"""Neural audio codecs: waveforms to latents and back."""

from sled.codec.base import Codec, StreamingDecoder, StreamingEncoder
from sled.codec.encodec import EncodecCodec, load_codec
from sled.codec.streaming_state import StreamState

__all__ = [
    "Codec",
    "EncodecCodec",
    "StreamState",
    "StreamingDecoder",
    "StreamingEncoder",
    "load_codec",
]
