"""Where the commands that speak take their text from."""

import io
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sled.cli import text_input
from sled.cli.text_input import STANDARD_INPUT, arriving_text, read_text, text_source
from tests.commands import run
from tests.debug import STREAM, debug_checkpoint

NOTHING = Namespace(text=None, input=None, input_file=None)
SetInput = Callable[..., None]


@pytest.fixture
def set_input(monkeypatch, tmp_path) -> Iterator[SetInput]:
    """Gives the process a standard input of some kind, with some bytes."""
    opened: list[int] = []

    def set_to(kind: str, data: bytes = b"") -> None:
        if kind == "closed":
            monkeypatch.setattr(sys, "stdin", None)
            return
        if kind == "file":
            (tmp_path / "input").write_bytes(data)
            descriptor = os.open(tmp_path / "input", os.O_RDONLY)
        elif kind == "nothing":
            descriptor = os.open(os.devnull, os.O_RDONLY)
        elif kind == "terminal":
            writer, descriptor = os.openpty()
            opened.append(writer)
        else:
            descriptor, writer = os.pipe()
            os.write(writer, data)
            if kind == "open pipe":
                opened.append(writer)
            else:
                os.close(writer)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(open(descriptor, "rb")))  # noqa: SIM115

    yield set_to
    for descriptor in opened:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("kind", "data", "source"),
    [
        ("pipe", b"one", STANDARD_INPUT),
        ("open pipe", b"one", STANDARD_INPUT),
        ("file", b"one", STANDARD_INPUT),
        ("pipe", b"", None),
        ("file", b"", None),
        ("nothing", b"", None),
        ("terminal", b"", None),
        ("closed", b"", None),
    ],
)
def test_text_in_a_pipe_or_file_need_not_be_named(kind, data, source, set_input):
    set_input(kind, data)
    assert text_source(NOTHING) == source
    if source is not None and kind != "open pipe":
        assert read_text(source) == data.decode()


@pytest.mark.parametrize(
    ("flags", "source"),
    [
        ({"text": "two"}, "two"),
        ({"input": "two"}, "two"),
        ({"input_file": "two.txt"}, Path("two.txt")),
        ({"text": "-"}, STANDARD_INPUT),
        ({"input": "-"}, STANDARD_INPUT),
    ],
)
def test_a_named_text_is_preferred_to_a_pipe(flags, source, set_input):
    set_input("pipe", b"one")
    assert text_source(Namespace(**vars(NOTHING) | flags)) == source


def test_a_pipe_without_text_is_not_waited_for_long(set_input, monkeypatch):
    monkeypatch.setattr(text_input, "INPUT_WAIT_S", 0.05)
    set_input("open pipe")
    with pytest.raises(ValueError, match=r"nothing came in 0\.05 s: give a text, or -"):
        text_source(NOTHING)


def test_text_that_was_looked_at_still_arrives_whole(set_input):
    set_input("pipe", "one, zwölf".encode())
    assert text_source(NOTHING) == STANDARD_INPUT
    assert "".join(arriving_text()) == "one, zwölf"


@pytest.mark.parametrize("read", [lambda: read_text(STANDARD_INPUT), lambda: [*arriving_text()]])
def test_a_byte_order_mark_is_no_text(read, set_input):
    set_input("pipe", b"\xef\xbb\xbfone")
    assert "".join(read()) == "one"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return debug_checkpoint(tmp_path_factory.mktemp("input") / "model", **STREAM)


@pytest.mark.parametrize("command", ["speak", "stream"])
def test_piped_text_is_spoken_like_an_argument(command, model, set_input, tmp_path):
    flags = ("--model", model, "--min_frames", 5, "--max_length", 60)
    set_input("pipe", b"one two\n")
    assert run(command, *flags, "-o", tmp_path / "pipe.wav") == 0
    assert run(command, "one two", *flags, "-o", tmp_path / "argument.wav") == 0
    piped, named = (soundfile.read(tmp_path / f"{name}.wav")[0] for name in ("pipe", "argument"))
    np.testing.assert_allclose(piped, named, atol=1e-3)


@pytest.mark.parametrize("command", ["speak", "stream", "speak -", "stream -"])
def test_standard_input_that_is_not_utf8_is_refused(command, model, set_input, tmp_path, capsys):
    set_input("pipe", b"caf\xe9 one two")
    assert run(command, "--model", model, "-o", tmp_path / "out.wav") == 2
    assert capsys.readouterr().err == "error: standard input is not UTF-8 text\n"
    assert not (tmp_path / "out.wav").exists()


@pytest.mark.parametrize(
    "command",
    ["speak", "stream", "clone", "voices make --prompt_text", "bench start --input", "check"],
)
def test_an_argument_that_is_not_utf8_is_refused(command, capsys):
    assert run(command, os.fsdecode(b"caf\xe9")) == 2
    assert capsys.readouterr().err == "error: b'caf\\xe9' is not UTF-8 text\n"
