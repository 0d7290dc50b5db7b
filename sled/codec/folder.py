"""Codecs as they are kept in folders: Encodec, and how a model shall see its latents.

A folder holds Encodec as transformers saves it. Keys of its config.json and files beside it say
what is done to the latents, in this order: they are whitened, grouped, their sounds emphasised, and
a channel is added for the token being said (see `sled.codec.transforms`). Codes are the same in all
views.
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
from sled.codec.encodec.model import TRAINING_AVERAGES, EncodecCodec, load_encodec
from sled.codec.transforms.base import Stored
from sled.codec.transforms.emphasize import Emphasis, EmphasizedCodec
from sled.codec.transforms.group import GroupedCodec, group_codes
from sled.codec.transforms.token_channel import TokenChannel, TokenChannelCodec
from sled.codec.transforms.whiten import WhitenedCodec, Whitening

# In config.json: how many frames are taken for one, and whether there are these files.
_GROUP_KEY = "frames_per_latent"
_WHITENED_KEY, _EMPHASIS_KEY, _CHANNEL_KEY = (
    "whitened_latents",
    "emphasized_sounds",
    "token_channel",
)


@dataclass(frozen=True)
class CodecParts:
    """What a codec is made of.

    Attributes:
        model: Encodec.
        whitening: Of its latents. None: as they are.
        frames: Taken for one.
        emphasis: Of sounds in these. None: as they are.
        channel: For the token being said. None: without.
    """

    model: EncodecModel
    whitening: Whitening | None = None
    frames: int = 1
    emphasis: Emphasis | None = None
    channel: TokenChannel | None = None

    @classmethod
    def load(cls, name_or_path: str | Path) -> CodecParts:
        """Read a codec; arguments and errors as for `load_codec`."""
        model = load_encodec(name_or_path)

        def beside(key: str, kind: type[Stored]) -> Stored | None:
            if not getattr(model.config, key, False):
                return None
            try:
                path = cached_file(str(name_or_path), kind.file())
            except OSError as error:
                raise ValueError(
                    f"the codec {name_or_path} lacks its {kind.file()}: copy that too"
                ) from error
            return kind.load(Path(str(path)))

        return cls(
            model,
            beside(_WHITENED_KEY, Whitening),
            getattr(model.config, _GROUP_KEY, 1),
            beside(_EMPHASIS_KEY, Emphasis),
            beside(_CHANNEL_KEY, TokenChannel),
        )

    def save(self, folder: str | Path) -> None:
        """Write the folder of a codec, without what only its training reads."""
        state, config, folder = self.model.state_dict(), self.model.config, Path(folder)
        if self.frames > 1:
            setattr(config, _GROUP_KEY, self.frames)
        beside = {
            _WHITENED_KEY: self.whitening,
            _EMPHASIS_KEY: self.emphasis,
            _CHANNEL_KEY: self.channel,
        }
        for key, part in beside.items():
            if part is not None:
                setattr(config, key, True)
        kept = {name: state[name] for name in state if not name.endswith(TRAINING_AVERAGES)}
        self.model.save_pretrained(folder, state_dict=kept)
        for part in beside.values():
            if part is not None:
                part.save(folder)

    def assemble(self, device: str | torch.device = "cpu") -> Codec:
        """The codec as a model sees it.

        Raises:
            ValueError: If a part does not fit the others.
        """
        codec: Codec = EncodecCodec(self.model, device)
        if self.whitening is not None:
            codec = WhitenedCodec(codec, self.whitening)
        if self.frames > 1:
            codec = GroupedCodec(codec, self.frames)
        if self.emphasis is not None:
            codec = EmphasizedCodec(codec, self.emphasis)
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
    """Save a codec as one whose latents are whitened, see `sled.codec.transforms.whiten`.

    Args:
        name_or_path: As for `load_codec`.
        codes: Its own, [K, T] of each of many clips.
        floor: See `Whitening.of`.
        output: Folder to write.

    Returns:
        The codec that `load_codec(output)` gives.

    Raises:
        ValueError: If there is no such codec, it is a view already, or the codes are too few.
    """
    parts = CodecParts.load(name_or_path)
    _refuse(name_or_path, parts, "whitening", "frames", "emphasis", "channel")
    codec = parts.assemble()
    whitening = Whitening.of((codec.codes_to_latents(one) for one in codes), floor)
    return _save(replace(parts, whitening=whitening), output)


def group_frames(name_or_path: str | Path, frames: int, output: str | Path) -> Codec:
    """Save a codec as one that takes several frames for one, see `sled.codec.transforms.group`.

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
    _refuse(name_or_path, parts, "frames", "emphasis", "channel")
    GroupedCodec(parts.assemble(), frames)  # refuses what is no group
    return _save(replace(parts, frames=frames), output)


def emphasize_sounds(
    name_or_path: str | Path,
    clips: Iterable[tuple[Tensor, Tensor]],
    strength: float,
    output: str | Path,
) -> tuple[float, float]:
    """Save a codec as one in whose latents sounds count for more, see `transforms.emphasize`.

    Args:
        name_or_path: As for `load_codec`.
        clips: Codes [K, T] of the codec's origin and the number of each frame's sound [T'], T'
            being the frames that this codec makes of them; -1 where it is not known.
        strength: See `Emphasis.of`.
        output: Folder to write.

    Returns:
        The sounds' share of all variance before and after.

    Raises:
        ValueError: If there is no such codec, it has a channel, or the clips are too few.
    """
    parts = CodecParts.load(name_or_path)
    _refuse(name_or_path, parts, "emphasis", "channel")
    codec = parts.assemble()
    latents = (
        (codec.codes_to_latents(group_codes(codes, parts.frames)), sounds)
        for codes, sounds in clips
    )
    emphasis, shares = Emphasis.of(latents, strength)
    _save(replace(parts, emphasis=emphasis), output)
    return shares


def add_token_channel(name_or_path: str | Path, channel: TokenChannel, output: str | Path) -> Codec:
    """Save a codec as one whose latents tell what is said, see `transforms.token_channel`.

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
    _refuse(name_or_path, parts, "channel")
    return _save(replace(parts, channel=channel), output)


def _refuse(name_or_path: str | Path, parts: CodecParts, *late: str) -> None:
    """Refuse a codec that has a part that must not come before another one."""
    found = [name for name in late if getattr(parts, name) not in (None, 1)]
    if found:
        raise ValueError(f"{name_or_path} has its {found[0]} already: name the codec it is made of")


def _save(parts: CodecParts, output: str | Path) -> Codec:
    codec = parts.assemble()  # refuses what does not fit, before anything is written
    parts.save(output)
    return codec
