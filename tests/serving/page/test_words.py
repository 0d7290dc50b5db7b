"""Words are lit as they are said, and each can be heard again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.serving.conftest import Running
from tests.serving.page.conftest import OpenPage
from tests.serving.page.test_speaking import state, type_text, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

TEXT = "one two three four five six."
MARKS = "() => sled.speaking.reading.marks"


@pytest.fixture
def spoken(open_page: OpenPage, marked: Running) -> Page:
    """A text has been spoken by a model that tells its words."""
    page = open_page(marked.url)
    page.wait_for_selector("#voices input")
    page.evaluate(
        """() => {
          window.lit = [];
          const watch = () => {
            const word = document.querySelector('.word.now');
            if (word) lit.push([word.textContent, sled.player.position]);
            requestAnimationFrame(watch);
          };
          watch();
        }"""
    )
    page.locator("#live").uncheck()
    type_text(page, TEXT)
    page.locator("#speak").click()
    wait_for(page, "r.tape.length > 0 && !r.speaking && sled.player.ended")
    return page


def test_the_word_that_is_heard_is_lit(spoken: Page) -> None:
    marks = {mark["text"].strip("."): mark for mark in spoken.evaluate(MARKS)}
    assert list(marks) == TEXT.strip(".").split()
    lit = spoken.evaluate("lit")
    order = list(dict.fromkeys(word.strip(".") for word, _ in lit))
    assert order == [word for word in marks if word in order] and len(order) >= 3
    for word, position in lit:
        # A picture is drawn at most a sixtieth of a second after its position was read.
        assert position > marks[word.strip(".")]["start"] - 2400


def test_a_click_on_a_word_hears_from_there(spoken: Page) -> None:
    marks = spoken.evaluate(MARKS)
    spoken.locator(".word").nth(3).click()
    start = spoken.evaluate("sled.player.base")
    assert abs(start - marks[3]["start"]) <= 1
    wait_for(spoken, "!sled.player.dry")


def test_the_arrow_keys_and_enter_hear_from_a_word(spoken: Page) -> None:
    marks = spoken.evaluate(MARKS)
    spoken.locator("#words").focus()
    for key in ("Home", "ArrowRight", "ArrowRight"):
        spoken.keyboard.press(key)
    active = spoken.locator("#words").get_attribute("aria-activedescendant")
    assert spoken.locator(f"#{active}").inner_text() == "three"
    spoken.keyboard.press("Enter")
    assert abs(spoken.evaluate("sled.player.base") - marks[2]["start"]) <= 1


@pytest.mark.parametrize("suffix", ["srt", "vtt"])
def test_subtitles_hold_all_words(spoken: Page, suffix: str) -> None:
    with spoken.expect_download() as waiting:
        spoken.locator(f"#download-{suffix}").click()
    text = waiting.value.path().read_text(encoding="utf-8")
    lines = [line for line in text.split("\n") if not re.match(r"\d+$|[\d:.,]+ -->|WEBVTT|$", line)]
    assert " ".join(lines) == TEXT


def test_after_a_stop_the_heard_text_is_shown(open_page: OpenPage, marked: Running) -> None:
    page = open_page(marked.url)
    page.wait_for_selector("#voices input")
    type_text(page, " ".join([TEXT] * 4))
    page.keyboard.press("Control+Enter")
    wait_for(page, "r.marks.length > 3 && sled.player.position > r.marks[2].start + 100")
    page.keyboard.press("Escape")
    page.locator("#heard-text").wait_for()
    page.wait_for_timeout(300)
    heard = page.locator("#heard-text").inner_text()
    assert heard.startswith("one two three") and (TEXT * 4).replace(".o", ". o").startswith(heard)
    struck = page.locator(".word.unheard").count()
    assert struck == len(TEXT.split()) * 4 - len(heard.split()) > 0


def test_a_correction_keeps_the_words_before_it(open_page: OpenPage, marked: Running) -> None:
    page = open_page(marked.url)
    page.wait_for_selector("#voices input")
    type_text(page, TEXT + " seven eight nine four")
    wait_for(page, "r.marks.length > 2")
    before = state(page)["received"]
    kept = page.evaluate("sled.speaking.reading.marks[1]")
    page.keyboard.press("Backspace")
    assert page.evaluate("sled.speaking.reading.marks[1]") == kept
    assert state(page)["length"] > kept["end"] - 1
    page.keyboard.press("Control+Enter")
    wait_for(page, "r.complete && !r.speaking && sled.player.ended")
    assert state(page)["received"] > before
    assert page.evaluate("sled.speaking.reading.sent") == len(TEXT) + len(" seven eight nine fou")
