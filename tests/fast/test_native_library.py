"""When the compiled kernels are used."""

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
