"""Neural audio codecs: waveforms to latents and back."""

from sled.codec.base import Codec, StreamingDecoder, StreamingEncoder
from sled.codec.encodec import EncodecCodec, group_frames, load_codec, whiten_latents
from sled.codec.grouped import GroupedCodec, group_codes
from sled.codec.streaming_state import StreamState
from sled.codec.whitened import WhitenedCodec, Whitening

__all__ = [
    "Codec",
    "EncodecCodec",
    "GroupedCodec",
    "StreamState",
    "StreamingDecoder",
    "StreamingEncoder",
    "WhitenedCodec",
    "Whitening",
    "group_codes",
    "group_frames",
    "load_codec",
    "whiten_latents",
]
