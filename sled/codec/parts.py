"""Codecs as they are kept in folders: Encodec, and how a model shall see its latents.

A folder holds Encodec as transformers saves it. Keys of its config.json and files beside it say
what is done to the latents, in this order: frames are grouped (`sled.codec.grouped`), mapped
(`sled.codec.mapped`; before, if the map is that of a single frame), and told what is said
(`sled.codec.token_channel`). Codes are the same in all views.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from transformers import EncodecModel
from transformers.utils import cached_file

from sled.codec.base import Codec
from sled.codec.emphasis import emphasis
from sled.codec.encodec import TRAINING_AVERAGES, EncodecCodec, load_encodec
from sled.codec.grouped import GroupedCodec, group_codes
from sled.codec.mapped import MAP_FILE, LatentMap, MappedCodec
from sled.codec.token_channel import CHANNEL_FILE, TokenChannel, TokenChannelCodec
from sled.codec.whitening import whitening

# In config.json: how many frames are taken for one, and whether there are these files.
_GROUP_KEY, _MAP_KEY, _CHANNEL_KEY = "frames_per_latent", "mapped_latents", "token_channel"


@dataclass(frozen=True)
class CodecParts:
    """What a codec is made of.

    Attributes:
        model: Encodec.
        frames: Taken for one.
        latent_map: Of latents, single ones or groups. None: as they are.
        channel: For the token being said. None: without.
    """

    model: EncodecModel
    frames: int = 1
    latent_map: LatentMap | None = None
    channel: TokenChannel | None = None

    @classmethod
    def load(cls, name_or_path: str | Path) -> CodecParts:
        """Read a codec; arguments and errors as for `load_codec`."""
        model = load_encodec(name_or_path)

        def beside(key: str, file: str) -> Path | None:
            if not getattr(model.config, key, False):
                return None
            try:
                return Path(str(cached_file(str(name_or_path), file)))
            except OSError as error:
                raise ValueError(
                    f"the codec {name_or_path} lacks its {file}: copy that too"
                ) from error

        map_file, channel_file = beside(_MAP_KEY, MAP_FILE), beside(_CHANNEL_KEY, CHANNEL_FILE)
        return cls(
            model,
            getattr(model.config, _GROUP_KEY, 1),
            LatentMap.load(map_file) if map_file else None,
            TokenChannel.load(channel_file) if channel_file else None,
        )

    def save(self, folder: str | Path) -> None:
        """Write the folder of a codec, without what only its training reads."""
        state, config, folder = self.model.state_dict(), self.model.config, Path(folder)
        if self.frames > 1:
            setattr(config, _GROUP_KEY, self.frames)
        for key, part in ((_MAP_KEY, self.latent_map), (_CHANNEL_KEY, self.channel)):
            if part is not None:
                setattr(config, key, True)
        kept = {name: state[name] for name in state if not name.endswith(TRAINING_AVERAGES)}
        self.model.save_pretrained(folder, state_dict=kept)
        for part in (self.latent_map, self.channel):
            if part is not None:
                part.save(folder)

    def assemble(self, device: str | torch.device = "cpu") -> Codec:
        """The codec as a model sees it.

        Raises:
            ValueError: If a part does not fit the others.
        """
        codec: Codec = EncodecCodec(self.model, device)
        of_frames = self.latent_map is not None and len(self.latent_map.mean) == codec.latent_dim
        if self.latent_map is not None and of_frames:
            codec = MappedCodec(codec, self.latent_map)
        if self.frames > 1:
            codec = GroupedCodec(codec, self.frames)
        if self.latent_map is not None and not of_frames:
            codec = MappedCodec(codec, self.latent_map)
        return codec if self.channel is None else TokenChannelCodec(codec, self.channel)


def load_codec(name_or_path: str | Path, device: str | torch.device = "cpu") -> Codec:
    """Load a codec in float32, whatever precision it is stored in.

    Args:
        name_or_path: A folder, a name on the Hugging Face hub (`facebook/encodec_24khz`), or a
            `.th` state file of the `encodec` package.
        device: Where to run it.

    Raises:
        ValueError: If there is no such codec, or its tensors are not those of its architecture.
    """
    return CodecParts.load(name_or_path).assemble(device)


def whiten_latents(
    name_or_path: str | Path, codes: Iterable[Tensor], floor: float, output: str | Path
) -> Codec:
    """Save a codec as one whose latents are whitened, see `sled.codec.whitening`.

    Args:
        name_or_path: As for `load_codec`.
        codes: Its own, [K, T] of each of many clips.
        floor: See `whitening`.
        output: Folder to write.

    Returns:
        The codec that `load_codec(output)` gives.

    Raises:
        ValueError: If there is no such codec, it is a view already, or the codes are too few.
    """
    parts = CodecParts.load(name_or_path)
    if parts.latent_map is not None or parts.frames > 1 or parts.channel is not None:
        raise ValueError(f"{name_or_path} is a view of another codec already: name its origin")
    codec = parts.assemble()
    latent_map = whitening((codec.codes_to_latents(one) for one in codes), floor)
    return _save(replace(parts, latent_map=latent_map), output)


def group_frames(name_or_path: str | Path, frames: int, output: str | Path) -> Codec:
    """Save a codec as one that takes several frames for one, see `sled.codec.grouped`.

    Args:
        name_or_path: As for `load_codec`.
        frames: Of a group.
        output: Folder to write.

    Returns:
        The codec that `load_codec(output)` gives.

    Raises:
        ValueError: If there is no such codec, or nothing to group.
    """
    parts = CodecParts.load(name_or_path)
    if parts.frames > 1 or parts.channel is not None:
        raise ValueError(f"{name_or_path} has groups or a channel already: name its origin")
    GroupedCodec(parts.assemble(), frames)  # refuses what is no group
    return _save(replace(parts, frames=frames), output)


def emphasize_sounds(
    name_or_path: str | Path,
    clips: Iterable[tuple[Tensor, Tensor]],
    strength: float,
    output: str | Path,
) -> tuple[float, float]:
    """Save a codec as one in whose latents sounds count for more, see `sled.codec.emphasis`.

    Args:
        name_or_path: As for `load_codec`.
        clips: Codes [K, T] of the codec's origin and the number of each frame's sound [T'], T'
            being the frames that this codec makes of them; -1 where it is not known.
        strength: See `emphasis`.
        output: Folder to write.

    Returns:
        The sounds' share of all variance before and after.

    Raises:
        ValueError: If there is no such codec, it has a channel, or the clips are too few.
    """
    parts = CodecParts.load(name_or_path)
    if parts.channel is not None:
        raise ValueError(f"{name_or_path} has a token channel already: name its origin")
    codec = parts.assemble()
    latents = (
        (codec.codes_to_latents(group_codes(codes, parts.frames)), sounds)
        for codes, sounds in clips
    )
    latent_map, shares = emphasis(latents, strength)
    if (first := parts.latent_map) is not None:
        whole = len(first.mean) == codec.latent_dim
        latent_map = (first if whole else first.of_groups(parts.frames)).then(latent_map)
    _save(replace(parts, latent_map=latent_map), output)
    return shares


def add_token_channel(name_or_path: str | Path, channel: TokenChannel, output: str | Path) -> Codec:
    """Save a codec as one whose latents tell what is said, see `sled.codec.token_channel`.

    Args:
        name_or_path: As for `load_codec`.
        channel: What it is to hold.
        output: Folder to write.

    Returns:
        The codec that `load_codec(output)` gives.

    Raises:
        ValueError: If there is no such codec, or it has a channel.
    """
    parts = CodecParts.load(name_or_path)
    if parts.channel is not None:
        raise ValueError(f"{name_or_path} has a token channel already: name its origin")
    return _save(replace(parts, channel=channel), output)


def _save(parts: CodecParts, output: str | Path) -> Codec:
    codec = parts.assemble()  # refuses what does not fit, before anything is written
    parts.save(output)
    return codec
