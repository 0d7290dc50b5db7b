"""Neural audio codecs: waveforms to units and back."""

from sled.codec.base import Codec, StreamingDecoder, StreamingEncoder
from sled.codec.encodec.model import EncodecCodec
from sled.codec.folder import CodecParts, load_codec
from sled.codec.spectral.model import SpectralCodec
from sled.codec.stream_state import StreamState
from sled.codec.transformed import TransformedCodec
from sled.codec.transforms import Emphasize, Group, TokenChannel, Transform, Whiten
from sled.codec.transforms.group import group_codes

__all__ = [
    "Codec",
    "CodecParts",
    "Emphasize",
    "EncodecCodec",
    "Group",
    "SpectralCodec",
    "StreamState",
    "StreamingDecoder",
    "StreamingEncoder",
    "TokenChannel",
    "Transform",
    "TransformedCodec",
    "Whiten",
    "group_codes",
    "load_codec",
]
