"""Fitting transforms of a codec's latents to a corpus.

Transforms are given as a list such as `whiten,group:4,emphasize:8:cuts=2000,token-channel:32`. Each
is fitted to the latents that the transforms before it give. The codes stay the same, so a corpus
need not be encoded again.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from lhotse.cut import Cut
from torch import Tensor

from sled.codec import Codec, CodecParts, group_codes
from sled.codec.transformed import check_order
from sled.codec.transforms import TRANSFORMS, Emphasize, FitData, Transform, Whiten
from sled.data.alignment.sounds import SoundsOfFrames
from sled.data.cache.codes import check_codec, cut_codes, load_cached
from sled.files.progress import track
from sled.text.tokenizer import TextTokenizer

SPEC_HELP = (
    "transforms in the order in which they are applied, with commas between them; each with its "
    "settings, with colons between them (the name of the first may be left out): "
    "whiten:floor=0.6:cuts=10000 (all directions that carry speech get the same variance), "
    "group:frames=2 (several frames become one), emphasize:strength=2:cuts=5000 (directions that "
    "distinguish sounds get more weight), token-channel:width=32:norm=12:seed=0 (more dimensions, "
    "which hold the token being spoken)"
)


@dataclass(frozen=True)
class FitReport:
    """The result of `fit_transforms`.

    Attributes:
        output: The new codec's folder.
        codec: The new codec.
        notes: A sentence about each transform.
    """

    output: Path
    codec: Codec
    notes: list[str]

    def __str__(self) -> str:
        (width,) = self.codec.unit_shape
        return "\n".join(
            (
                *self.notes,
                f"{self.output}: {self.codec.frame_rate:g} latents of {width} a second, and the "
                "same codes: a corpus that is encoded already can be used",
            )
        )


@dataclass(frozen=True)
class TransformSpec:
    """One entry of a list of transforms.

    Attributes:
        transform: Its kind.
        settings: Keyword arguments of the kind's `fit`.
    """

    transform: type[Transform]
    settings: dict[str, int | float]


def parse_transforms(text: str) -> list[TransformSpec]:
    """Read a list of transforms.

    Raises:
        ValueError: If it names an unknown transform or setting, or a value is not a number.
    """
    return [_parse_entry(entry.strip()) for entry in text.split(",")]


def _parse_entry(entry: str) -> TransformSpec:
    kind, *parts = entry.split(":")
    if kind not in TRANSFORMS:
        raise ValueError(f"no transform {kind!r}: choose from {', '.join(TRANSFORMS)}")
    transform = TRANSFORMS[kind]
    parameters = inspect.signature(transform.fit).parameters.values()
    known = {p.name: type(p.default) for p in parameters if p.kind is p.KEYWORD_ONLY}
    settings: dict[str, int | float] = {}
    for place, part in enumerate(parts):
        name, equals, value = part.rpartition("=")
        if not equals and place == 0:
            name = next(iter(known))
        if name not in known or name in settings:
            raise ValueError(
                f"{entry!r}: {part!r} is not a setting of {kind}; its settings are "
                f"{', '.join(f'{key}=...' for key in known)}, each at most once"
            )
        try:
            settings[name] = known[name](value)
        except ValueError as error:
            raise ValueError(
                f"{entry!r}: {name} must be {_NUMBERS[known[name]]}, got {value!r}"
            ) from error
    return TransformSpec(transform, settings)


_NUMBERS = {int: "a whole number", float: "a number"}


def fit_transforms(
    codec: str | Path,
    transforms: str,
    output: str | Path,
    *,
    codes: Sequence[str | Path] = (),
    tokenizer: str | Path | None = None,
) -> FitReport:
    """Save a codec with more transforms of its latents, fitted one after the other.

    Args:
        codec: As for `load_codec`. It may have transforms; the new ones are applied after them.
        transforms: A list such as `whiten,group:4,emphasize:8,token-channel:32`, see `SPEC_HELP`.
        output: Folder to write.
        codes: Folders of cached codes, made with this codec; `whiten` and `emphasize` need them,
            `emphasize` of an aligned corpus.
        tokenizer: Folder of the tokenizer whose tokens a `token-channel` is to hold.

    Raises:
        ValueError: If there is no such codec, corpus or tokenizer, or what a transform needs is not
            given; if the list cannot be read or its order makes no sense; or if the corpus is too
            small.
    """
    fitted, notes = fit_parts(
        CodecParts.load(codec), parse_transforms(transforms), list(map(Path, codes)), tokenizer
    )
    fitted.save(output)
    return FitReport(Path(output), fitted.assemble(), notes)


def fit_parts(
    parts: CodecParts,
    specs: Sequence[TransformSpec],
    folders: Sequence[Path],
    tokenizer: str | Path | TextTokenizer | None,
) -> tuple[CodecParts, list[str]]:
    """Add transforms to a codec; arguments and errors as for `fit_transforms`.

    Returns:
        The new codec, and a sentence about each transform.
    """
    kinds = [transform.kind for transform in parts.transforms]
    kinds += [spec.transform.kind for spec in specs]
    check_order(kinds)
    if {Whiten.kind, Emphasize.kind} <= {*kinds} and (
        kinds.index(Emphasize.kind) < kinds.index(Whiten.kind)
    ):
        raise ValueError("whiten after emphasize would undo the emphasis: whiten first")
    for folder in folders:
        check_codec(folder, parts.assemble())
    notes = []
    for spec in specs:
        corpus = _Corpus(spec.transform.kind, parts.assemble(), folders, tokenizer)
        transform, note = spec.transform.fit(corpus, **spec.settings)
        parts = parts.with_transforms(transform)
        notes.append(f"{spec.transform.kind}: {note}")
    return parts, notes


class _Corpus(FitData):
    """What one transform is fitted to.

    Args:
        kind: The transform.
        codec: With the transforms before it.
        folders: Folders of cached codes.
        tokenizer: The tokenizer, or its folder.
    """

    def __init__(
        self,
        kind: str,
        codec: Codec,
        folders: Sequence[Path],
        tokenizer: str | Path | TextTokenizer | None,
    ) -> None:
        self._kind, self._codec = kind, codec
        self._folders, self._tokenizer = folders, tokenizer

    def units(self, cuts: int) -> Iterator[Tensor]:
        for cut in self._cuts(cuts):
            yield self._units(cut_codes(cut))

    def units_with_sounds(self, cuts: int) -> Iterator[tuple[Tensor, Tensor]]:
        for codes, sounds in map(SoundsOfFrames(self._codec), self._cuts(cuts)):
            yield self._units(codes), sounds

    def vocab_size(self) -> int:
        if self._tokenizer is None:
            raise ValueError(f"{self._kind} holds tokens: name their tokenizer with --tokenizer")
        tokenizer = self._tokenizer
        if not isinstance(tokenizer, TextTokenizer):
            tokenizer = TextTokenizer.from_pretrained(tokenizer)
        return tokenizer.vocab_size

    def _units(self, codes: Tensor) -> Tensor:
        return self._codec.codes_to_units(group_codes(codes, self._codec.frames_per_unit))

    def _cuts(self, count: int) -> Iterator[Cut]:
        """Cuts from all folders, in equal shares."""
        if not self._folders:
            raise ValueError(
                f"{self._kind} is fitted to a corpus: name its cached codes with --codes (see "
                "`sled cache codes`)"
            )
        share = -(-count // len(self._folders))
        cuts: Iterable[Cut] = (
            cut
            for folder in self._folders
            for cut in islice(load_cached(folder, shuffle_seed=0), share)
        )
        yield from track(cuts, self._kind, "cut")
