"""Codecs as they are stored in folders: the networks, and the transforms of their latents.

A folder holds config.json, whose `model_type` names the family, and model.safetensors. Beside them
`transforms.json` lists the transforms in the order in which they are applied:

    [{"kind": "whiten", "file": "whiten.safetensors"}, {"kind": "group", "settings": {"frames": 4}}]

In older folders, keys of config.json say which transforms there are; their order is fixed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sled.bundled import codec_folder
from sled.codec.base import Codec
from sled.codec.encodec.config import MODEL_TYPE as ENCODEC
from sled.codec.encodec.files import load_encodec, save_encodec
from sled.codec.encodec.model import EncodecCodec
from sled.codec.encodec.network import Encodec
from sled.codec.files import CONFIG_FILE, find_file, read_config, unusable
from sled.codec.spectral.config import MODEL_TYPE as SPECTRAL
from sled.codec.spectral.files import load_spectral, save_spectral
from sled.codec.spectral.model import SpectralCodec
from sled.codec.spectral.network import Spectral
from sled.codec.token_codec import MODEL_TYPE as SPEECH_TOKENS
from sled.codec.token_codec import is_published_folder
from sled.codec.transformed import TransformedCodec
from sled.codec.transforms import TRANSFORMS, Emphasize, Group, TokenChannel, Transform, Whiten

if TYPE_CHECKING:
    from sled.codec.token_codec.files import TokenNetworks

TRANSFORMS_FILE = "transforms.json"

CodecModel = Encodec | Spectral
"""The networks of a codec of latents."""


@dataclass(frozen=True)
class CodecFamily:
    """What codecs of one architecture are made of.

    Attributes:
        network: The class of their networks.
        load: Reads them from a folder, hub repository or file; errors as for `load_codec`.
        save: Writes them into a folder.
        codec: The codec of networks, on a device.
    """

    network: type[CodecModel | TokenNetworks]
    load: Callable[[str | Path], CodecModel | TokenNetworks]
    save: Callable[[Any, Path], None]
    codec: Callable[[Any, str | torch.device], Codec]


FAMILIES: dict[str, CodecFamily] = {
    ENCODEC: CodecFamily(Encodec, load_encodec, save_encodec, EncodecCodec),
    SPECTRAL: CodecFamily(Spectral, load_spectral, save_spectral, SpectralCodec),
}
"""The families of codecs, by the `model_type` of their config.json, but for `SPEECH_TOKENS`."""


def _speech_tokens() -> CodecFamily:
    """The family of codecs of speech tokens, whose code is imported when it is needed."""
    from sled.codec.token_codec.files import TokenNetworks, load_networks, save_networks
    from sled.codec.token_codec.model import TokenCodec

    return CodecFamily(TokenNetworks, load_networks, save_networks, TokenCodec)


# In the config.json of older folders: whether there are these transforms, in this order, and their
# files. The value of the second key is the number of frames.
_OLD_KEYS: dict[str, tuple[type[Transform], str | None]] = {
    "whitened_latents": (Whiten, "whitening.safetensors"),
    "frames_per_latent": (Group, None),
    "emphasized_sounds": (Emphasize, "emphasis.safetensors"),
    "token_channel": (TokenChannel, "token_channel.safetensors"),
}


@dataclass(frozen=True)
class CodecParts:
    """The parts that a codec is made of.

    Attributes:
        model: The networks.
        transforms: Transforms of their latents, in order.
    """

    model: CodecModel | TokenNetworks
    transforms: tuple[Transform, ...] = ()

    @classmethod
    def load(cls, name_or_path: str | Path) -> CodecParts:
        """Read a codec; arguments and errors as for `load_codec`."""
        name_or_path = codec_folder(name_or_path)
        model = _family_of_files(name_or_path).load(name_or_path)
        entries = _listed(name_or_path)
        if entries is None and is_published_folder(name_or_path):
            entries = []
        elif entries is None:
            entries = list(_listed_in_config(read_config(name_or_path)))
        return cls(model, tuple(_load_transform(name_or_path, entry) for entry in entries))

    def save(self, folder: str | Path) -> None:
        """Write the folder of a codec, without the tensors that only training reads."""
        folder = Path(folder)
        self.family.save(self.model, folder)
        entries = []
        for transform in self.transforms:
            entry: dict[str, Any] = {"kind": transform.kind}
            if transform.settings():
                entry["settings"] = transform.settings()
            if transform.tensors():
                entry["file"] = f"{transform.kind}.safetensors"
                transform.save(folder / entry["file"])
            entries.append(entry)
        path = folder / TRANSFORMS_FILE
        path.unlink(missing_ok=True)
        if entries:
            path.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")

    @property
    def family(self) -> CodecFamily:
        """The family of the networks."""
        families = (each for each in FAMILIES.values() if isinstance(self.model, each.network))
        return next(families, None) or _speech_tokens()

    def with_transforms(self, *transforms: Transform) -> CodecParts:
        """The same with more transforms, applied after those that there are.

        Raises:
            ValueError: If they do not fit.
        """
        parts = replace(self, transforms=(*self.transforms, *transforms))
        parts.assemble()
        return parts

    def assemble(self, device: str | torch.device = "cpu") -> Codec:
        """The codec as a model sees it.

        Raises:
            ValueError: If the parts do not fit each other.
        """
        codec = self.family.codec(self.model, device)
        return TransformedCodec(codec, self.transforms) if self.transforms else codec


def load_codec(name_or_path: str | Path, device: str | torch.device = "cpu") -> Codec:
    """Load a codec in float32, whatever precision it is stored in.

    Args:
        name_or_path: A folder, a bundled model or the folder of a model, for its codec, a name on
            the Hugging Face hub (`facebook/encodec_24khz`), a `.th` state file of the `encodec`
            package, or a published folder with `flow.pt` and `hift.pt`.
        device: Where to run it.

    Raises:
        ValueError: If there is no such codec, or its tensors are not those of its architecture.
    """
    return CodecParts.load(name_or_path).assemble(device)


def _family_of_files(name_or_path: str | Path) -> CodecFamily:
    """The family of a codec's files.

    Raises:
        ValueError: If its config.json cannot be read, or is that of something else.
    """
    if is_published_folder(name_or_path):
        return _speech_tokens()
    if find_file(name_or_path, CONFIG_FILE) is None:
        return FAMILIES[ENCODEC]  # a state file, or nothing: the reader says what is possible
    model_type = read_config(name_or_path).get("model_type")
    if model_type == SPEECH_TOKENS:
        return _speech_tokens()
    if model_type not in FAMILIES:
        names = " or ".join(map(repr, (*FAMILIES, SPEECH_TOKENS)))
        raise unusable(name_or_path, f"its model_type is {model_type!r}, not {names}")
    return FAMILIES[str(model_type)]


def _listed(name_or_path: str | Path) -> list[dict[str, Any]] | None:
    """The entries of a folder's list of transforms; None if it has no list."""
    path = find_file(name_or_path, TRANSFORMS_FILE)
    if path is None:
        return None
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if not all(entry["kind"] in TRANSFORMS for entry in entries):
            raise ValueError(f"kinds of transforms are {', '.join(TRANSFORMS)}")
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is not a list of transforms ({error}): copy it again") from error
    assert isinstance(entries, list)
    return entries


def _listed_in_config(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same for an older folder, by the keys of its config.json."""
    for key, (transform, file) in _OLD_KEYS.items():
        if not (value := config.get(key)):
            continue
        if file is not None:
            yield {"kind": transform.kind, "file": file}
        elif value > 1:
            yield {"kind": transform.kind, "settings": {"frames": value}}


def _load_transform(name_or_path: str | Path, entry: dict[str, Any]) -> Transform:
    path = None
    if "file" in entry:
        path = find_file(name_or_path, entry["file"])
        if path is None:
            raise ValueError(f"the codec {name_or_path} lacks its {entry['file']}: copy that too")
    return TRANSFORMS[entry["kind"]].load(entry.get("settings", {}), path)
