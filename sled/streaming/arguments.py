"""Checks of what users give to `TTS`, with an error that says what to give."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import SupportsIndex, TypeVar, cast

from sled.decoding import DecodingOptions
from sled.model.layout import Layout
from sled.streaming.voice import Prompt, Voice

T = TypeVar("T")
MAX_SEED = 2**63


def check_text(text: object) -> str:
    """A text to be said.

    Raises:
        ValueError: It is none.
    """
    if isinstance(text, bytes | bytearray):
        raise ValueError("the text is bytes: decode it first, as in text.decode('utf-8')")
    if not isinstance(text, str):
        raise ValueError(f"the text is {text!r}: give a str")
    return text


def check_seed(seed: object) -> int:
    """A seed, as an int.

    Raises:
        ValueError: It is no whole number, or has more than 63 bits.
    """
    try:
        number = operator.index(cast(SupportsIndex, seed))
    except TypeError as error:
        raise ValueError(f"seed={seed!r}: give a whole number") from error
    if not -MAX_SEED <= number < MAX_SEED:
        raise ValueError(f"seed={number}: a seed has at most 63 bits")
    return number


def check_decoding(options: object) -> DecodingOptions | None:
    """Options of decoding, or None.

    Raises:
        ValueError: They are something else.
    """
    if options is not None and not isinstance(options, DecodingOptions):
        raise ValueError(f"options={options!r}: give DecodingOptions, as in DecodingOptions(cfg=2)")
    return options


def check_layout(layout: object) -> Layout | None:
    """A layout, or None.

    Raises:
        ValueError: It is something else.
    """
    if layout is not None and not isinstance(layout, Layout):
        raise ValueError(
            f"layout={layout!r}: give a Layout: Layout() for offline, "
            "tts.model.streaming_layout for text that comes in pieces"
        )
    return layout


def check_voice(voice: object) -> Voice | Prompt | str | None:
    """A voice, a prompt, the name of a voice, or None.

    Raises:
        ValueError: It is something else.
    """
    if voice is not None and not isinstance(voice, Voice | Prompt | str):
        raise ValueError(
            f"a voice cannot be {voice!r}: give Prompt(text, audio), with the words spoken in "
            "the recording, a name, or a Voice from make_voice or load_voice"
        )
    return voice


def check_texts(texts: object) -> list[str]:
    """Texts to be said.

    Raises:
        ValueError: They are none, or one of them is none.
    """
    if isinstance(texts, str):
        raise ValueError("give a list of texts; for a single one use say()")
    if not isinstance(texts, Sequence) or isinstance(texts, bytes | bytearray):
        raise ValueError(f"the texts are {texts!r}: give a list of str")
    if not texts:
        raise ValueError("no text to speak: give at least one")
    return [check_text(text) for text in texts]


def one_for_each(name: str, values: Sequence[T], count: int) -> Sequence[T]:
    """Values of which there is one for each text.

    Raises:
        ValueError: There are more or fewer.
    """
    if len(values) != count:
        raise ValueError(f"{count} texts, {len(values)} {name}: give one, or one for each text")
    return values
