"""Neural audio codecs: waveforms to latents and back."""

from sled.codec.base import Codec, StreamingDecoder, StreamingEncoder
from sled.codec.encodec.model import EncodecCodec
from sled.codec.folder import (
    CodecParts,
    add_token_channel,
    emphasize_sounds,
    group_frames,
    load_codec,
    whiten_latents,
)
from sled.codec.stream_state import StreamState
from sled.codec.transforms.emphasize import Emphasis, EmphasizedCodec
from sled.codec.transforms.group import GroupedCodec, group_codes
from sled.codec.transforms.token_channel import TokenChannel, TokenChannelCodec
from sled.codec.transforms.whiten import WhitenedCodec, Whitening

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
