"""The text of commands that speak: from an argument, a file or standard input."""

from __future__ import annotations

import argparse
import codecs
import os
import select
import stat
import sys
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import cast

STANDARD_INPUT = Path("-")
# Editors of some systems begin a text with a mark, which this removes.
TEXT_ENCODING = "utf-8-sig"
# How long to wait for text in a pipe that was not named as the text.
INPUT_WAIT_S = 3.0
# Bytes of standard input that are taken at once, at most.
PIPE_BYTES = 4096


def text_source(args: argparse.Namespace) -> str | Path | None:
    """What is to be spoken: a text, a file, or `STANDARD_INPUT`. None: nothing is named.

    Standard input need not be named if it is a pipe or a file.

    Raises:
        ValueError: If there is more than one text, or a pipe without any.
    """
    sources = {"the text": args.text, "--input": args.input, "--input_file": args.input_file}
    named = [name for name, value in sources.items() if value is not None]
    if len(named) > 1:
        raise ValueError(f"{' and '.join(named)} exclude each other: give one")
    if args.input_file is not None:
        return Path(args.input_file)
    text: str | None = args.text if args.text is not None else args.input
    return STANDARD_INPUT if text == "-" or (text is None and input_has_text()) else text


def input_has_text() -> bool:
    """Whether standard input is a pipe or a file, and not empty.

    Raises:
        ValueError: If a pipe is open, but nothing comes. It may be one that nobody writes to, as
            some programs give to those that they start.
    """
    try:
        stream = _standard_input()
        mode = os.fstat(stream.fileno()).st_mode
    except (AttributeError, OSError):  # closed, or not a file
        return False
    if stat.S_ISCHR(mode):  # a terminal or /dev/null
        return False
    if not stat.S_ISREG(mode) and not select.select([stream], [], [], INPUT_WAIT_S)[0]:
        raise ValueError(
            f"no text: standard input is a pipe, and nothing came in {INPUT_WAIT_S:g} s: give a "
            "text, or - to wait for standard input"
        )
    return bool(stream.peek(1))


def read_text(source: str | Path) -> str:
    """The text of a source from `text_source`.

    Raises:
        ValueError: If it is blank, or cannot be read.
    """
    text = source
    if isinstance(source, Path):
        is_file = source != STANDARD_INPUT
        try:
            data = source.read_bytes() if is_file else _standard_input().read()
            text = data.decode(TEXT_ENCODING)
        except UnicodeDecodeError as error:
            name = source if is_file else "standard input"
            raise ValueError(f"{name} is not UTF-8 text") from error
    assert isinstance(text, str)
    if not text.strip():
        raise ValueError("the text is blank: give at least one word")
    return text


def arriving_text() -> Iterator[str]:
    """Standard input, piece by piece as it arrives.

    Raises:
        ValueError: If it is not UTF-8.
    """
    decoder = codecs.getincrementaldecoder(TEXT_ENCODING)()
    try:
        while data := _standard_input().read1(PIPE_BYTES):
            yield decoder.decode(data)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise ValueError("standard input is not UTF-8 text") from error


def _standard_input() -> BufferedReader:
    return cast(BufferedReader, sys.stdin.buffer)
