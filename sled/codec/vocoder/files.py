"""Reading and writing vocoders; see `sled.codec.network_files`."""

from __future__ import annotations

from pathlib import Path

from sled.codec.network_files import load_part, save_part
from sled.codec.vocoder.hift import HiFT


def load_vocoder(path: Path) -> HiFT:
    """Load a vocoder; arguments and errors as for `load_part`."""
    return load_part(path, {HiFT.KIND: HiFT})


def save_vocoder(vocoder: HiFT, folder: Path) -> None:
    """Write a vocoder into a folder, with the published names of its tensors."""
    save_part(folder, vocoder.to_dict(), vocoder.published_state())
