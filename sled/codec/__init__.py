"""Neural audio codecs: waveforms to latents and back."""

from sled.codec.base import Codec, StreamingDecoder, StreamingEncoder
from sled.codec.emphasis import Emphasis, EmphasizedCodec
from sled.codec.encodec import EncodecCodec
from sled.codec.grouped import GroupedCodec, group_codes
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
from sled.codec.whitened import WhitenedCodec, Whitening

__all__ = [
    "Codec",
    "CodecParts",
    "EmphasizedCodec",
    "Emphasis",
    "EncodecCodec",
    "GroupedCodec",
    "StreamState",
    "StreamingDecoder",
    "StreamingEncoder",
    "TokenChannel",
    "TokenChannelCodec",
    "WhitenedCodec",
    "Whitening",
    "add_token_channel",
    "emphasize_sounds",
    "group_codes",
    "group_frames",
    "load_codec",
    "whiten_latents",
]
