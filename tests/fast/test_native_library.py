"""When the compiled kernels are used, and how a process with them ends."""

import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES

import pytest

from sled.fast.native import kernel_level, library
from sled.fast.native.library import LEVELS, open_library
from tests.fast.forms import NEEDS_KERNELS


@pytest.fixture(autouse=True)
def forget_the_library():
    open_library.cache_clear()
    yield
    open_library.cache_clear()


def test_without_a_compiled_file_there_are_none(monkeypatch):
    monkeypatch.setattr(library, "NAME", "_absent")
    assert kernel_level() is None


@NEEDS_KERNELS
def test_kernels_of_other_sources_are_not_used(monkeypatch, caplog):
    monkeypatch.setattr(library, "sources_digest", lambda: "other")
    assert kernel_level() is None
    assert "install sled again" in caplog.text


@NEEDS_KERNELS
def test_kernels_without_their_sources_are_used(monkeypatch):
    monkeypatch.setattr(library, "sources_digest", lambda: None)
    assert kernel_level() in LEVELS.values()


def test_kernels_that_cannot_be_loaded_are_not_used(monkeypatch, caplog, tmp_path):
    monkeypatch.setattr(library, "__file__", str(tmp_path / "library.py"))
    (tmp_path / f"{library.NAME}{EXTENSION_SUFFIXES[0]}").write_bytes(b"not a library")
    assert kernel_level() is None
    assert "install sled again" in caplog.text


BUSY_AT_THE_END = """
import threading, time
import torch
from sled.fast.native import NativeModel
from tests.debug import debug_model
from tests.fast.forms import SIZES

LENGTH = 4000
model = NativeModel(debug_model(**SIZES, max_position_embeddings=LENGTH), 32, threads=1)
started = threading.Event()

def read():
    while True:
        cache = model.new_cache()
        cache.add_rows(1)
        started.set()
        model.advance(torch.zeros(1, LENGTH, 32), [0], [LENGTH], cache)

threading.Thread(target=read, daemon=True).start()
started.wait()
time.sleep(0.1)
"""


@NEEDS_KERNELS
def test_a_process_may_end_while_a_thread_computes():
    command = [sys.executable, "-c", BUSY_AT_THE_END]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr
