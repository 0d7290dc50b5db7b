"""Reading and writing vocoders; see `sled.codec.network_files`."""

from __future__ import annotations

from pathlib import Path

from sled.codec.network_files import PartClass, load_part, save_part
from sled.codec.vocoder.base import Vocoder
from sled.codec.vocoder.hift import HiFT
from sled.codec.vocoder.vocos import Vocos

VOCODERS: dict[str, PartClass[Vocoder]] = {HiFT.KIND: HiFT, Vocos.KIND: Vocos}
"""The classes of vocoders, by their published names."""


def load_vocoder(path: Path) -> Vocoder:
    """Load a vocoder; arguments and errors as for `load_part`."""
    return load_part(path, VOCODERS)


def save_vocoder(vocoder: Vocoder, folder: Path) -> None:
    """Write a vocoder into a folder, with the published names of its tensors."""
    save_part(folder, vocoder.to_dict(), vocoder.published_state())
