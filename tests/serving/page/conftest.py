"""The page in a real browser; skipped where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from tests.serving.conftest import Running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MICROPHONE_HZ, MICROPHONE_RATE = 440.0, 48_000
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]
OpenPage = Callable[..., "Page"]


def find_chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("there is no chromium: on Debian, apt-get install chromium")
    return found


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium, whose microphone hears a tone."""
    playwright_api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: see the extra dev"
    )
    executable = find_chromium()
    tone = tmp_path_factory.mktemp("microphone") / "tone.wav"
    times = np.arange(10 * MICROPHONE_RATE) / MICROPHONE_RATE
    samples = 0.25 * np.sin(2 * np.pi * MICROPHONE_HZ * times)
    soundfile.write(tone, samples, MICROPHONE_RATE, subtype="PCM_16")
    with playwright_api.sync_playwright() as playwright:
        one = playwright.chromium.launch(
            executable_path=executable,
            args=[*FLAGS, f"--use-file-for-fake-audio-capture={tone}"],
        )
        yield one
        one.close()


@pytest.fixture
def open_page(browser: Browser, marked: Running) -> Iterator[OpenPage]:
    """Opens the page; at the end, no script may have failed and the console must be clean."""
    contexts, problems = [], []

    def begin(url: str = marked.url, expected: str = "", **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)

        def note(text: str) -> None:
            if not expected or expected not in text:
                problems.append(text)

        page.on("pageerror", lambda error: note(str(error)))
        page.on("console", lambda one: note(one.text) if one.type in ("error", "warning") else None)
        page.goto(url)
        return page

    yield begin
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """The page, ready."""
    one = open_page()
    one.wait_for_selector("#voices input")
    return one


def static_file(name: str) -> Path:
    from sled.serving.page.router import STATIC

    return STATIC / name
