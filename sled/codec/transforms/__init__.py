"""Transforms of latents; a codec applies an ordered list of them."""

from sled.codec.transforms.base import FitData, Transform
from sled.codec.transforms.emphasize import Emphasize
from sled.codec.transforms.group import Group
from sled.codec.transforms.token_channel import TokenChannel
from sled.codec.transforms.whiten import Whiten

__all__ = ["TRANSFORMS", "Emphasize", "FitData", "Group", "TokenChannel", "Transform", "Whiten"]

TRANSFORMS: dict[str, type[Transform]] = {
    transform.kind: transform for transform in (Whiten, Group, Emphasize, TokenChannel)
}
