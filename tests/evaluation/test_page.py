"""The page of a report in a real browser, opened from a file; skipped where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sled.evaluation.page.build import MELS, mel_picture, write_page
from sled.evaluation.report import write_report
from sled.evaluation.results import collect
from tests.evaluation.test_run import evaluate, open_run

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("jiwer")
FLAGS = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
TRAP = "</script><b>three</b>"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two systems, one of them with more errors."""
    folder = tmp_path_factory.mktemp("report")
    evaluate(folder)
    run = open_run(folder, names=("quiet",))
    write_report(collect(run), folder)
    return folder


@pytest.fixture(scope="module")
def page(report: Path) -> Iterator[Page]:
    """The page; no script may have failed, and the console is clean."""
    playwright_api = pytest.importorskip("playwright.sync_api", reason="see the extra dev")
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("there is no chromium: on Debian, apt-get install chromium")
    problems: list[str] = []
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        one = browser.new_page(viewport={"width": 1280, "height": 1600})
        one.set_default_timeout(30_000)
        one.on("pageerror", lambda error: problems.append(str(error)))
        one.on("console", lambda message: problems.append(message.text))
        one.on(
            "request", lambda request: problems.append(request.url) if remote(request.url) else None
        )
        one.goto((report / "index.html").as_uri())
        one.wait_for_selector("article")
        yield one
        browser.close()
    assert problems == []


def remote(url: str) -> bool:
    return not url.startswith(("file:", "data:", "blob:"))


def shown_errors(page: Page) -> list[int]:
    """Wrong words of each text that is shown, as the page marks them."""
    return page.eval_on_selector_all(
        "article .side:first-child",
        "sides => sides.map(side => side.querySelectorAll('del').length)",
    )


def test_speech_plays_and_pictures_are_drawn(page: Page) -> None:
    page.select_option("#system", "noise")
    player = page.locator("audio").first
    player.evaluate("player => player.play()")
    page.wait_for_function("document.querySelector('audio').currentTime > 0.05")
    assert player.evaluate("player => player.duration") > 0.1
    colours = page.locator("canvas").first.evaluate(
        "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
    )
    assert colours > 20


def test_texts_are_sorted_by_errors_and_filtered(page: Page) -> None:
    page.select_option("#system", "noise")
    errors = shown_errors(page)
    assert len(errors) == 10 and sum(errors) > 0
    assert page.inner_text("#count") == "10 of 10"
    page.check("#wrong")
    assert shown_errors(page) == [one for one in errors if one]
    page.uncheck("#wrong")
    page.select_option("#kind", "b")
    assert page.locator("article").count() == 6
    page.fill("#find", "ten")
    assert page.locator("article").count() == 2
    page.fill("#find", "")
    page.select_option("#kind", "")
    page.select_option("#order", "id")
    first = page.locator("article header b").first.inner_text()
    assert first == "one two"


def test_two_systems_stand_side_by_side_and_texts_are_no_markup(page: Page) -> None:
    page.select_option("#system", "noise")
    page.select_option("#beside", "quiet")
    assert page.locator("article .side").count() == 20
    assert page.locator("b", has_text=TRAP).count() > 0
    assert page.locator("#figures thead th").all_inner_texts() == ["", "noise", "quiet"]
    assert "%" in page.inner_text("#figures") and "quiet" in page.inner_text("#comparisons")
    assert page.locator("#histograms svg").count() >= 2
    page.select_option("#beside", "")


def test_speech_beyond_the_limit_is_named_but_not_embedded(report: Path) -> None:
    run = open_run(report)
    whole = (report / "index.html").stat().st_size
    path = write_page(collect(run), report, max_embedded=1)
    text = path.read_text(encoding="utf-8")
    assert path.stat().st_size < whole / 2
    assert text.count('"picture": "') == 2 and "audio/noise/1/a/01.flac" in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_a_picture_has_its_loudest_line_where_the_tone_is() -> None:
    times = np.arange(16_000) / 16_000
    low, high = (mel_picture(np.sin(2 * np.pi * hz * times), 16_000) for hz in (300, 3000))
    assert low.shape == (40, MELS) and low.max() == 255
    assert low[20].argmax() < high[20].argmax()
    assert mel_picture(np.zeros(10), 16_000).shape == (0, MELS)
