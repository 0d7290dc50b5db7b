"""Neural audio codecs: waveforms to latents and back."""

from sled.codec.base import Codec, StreamingDecoder, StreamingEncoder
from sled.codec.encodec import EncodecCodec
from sled.codec.grouped import GroupedCodec, group_codes
from sled.codec.mapped import LatentMap, MappedCodec
from sled.codec.parts import (
    CodecParts,
    add_token_channel,
    emphasize_sounds,
    group_frames,
    load_codec,
    whiten_latents,
)
from sled.codec.streaming_state import StreamState
from sled.codec.token_channel import TokenChannel, TokenChannelCodec
from sled.codec.whitening import whitening

__all__ = [
    "Codec",
    "CodecParts",
    "EncodecCodec",
    "GroupedCodec",
    "LatentMap",
    "MappedCodec",
    "StreamState",
    "StreamingDecoder",
    "StreamingEncoder",
    "TokenChannel",
    "TokenChannelCodec",
    "add_token_channel",
    "emphasize_sounds",
    "group_codes",
    "group_frames",
    "load_codec",
    "whiten_latents",
    "whitening",
]
