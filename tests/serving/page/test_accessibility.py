"""The page is usable by keyboard, with a screen reader, in the dark, and on narrow screens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.serving.page.conftest import OpenPage

if TYPE_CHECKING:
    from playwright.sync_api import Page

# Of each element with text of its own: the text, and its contrast with what lies behind it.
CONTRASTS = """() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((one) => {
      const c = one / 255;
      return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const clear = (colour) => colour === 'transparent' || /, 0\\)$/.test(colour);
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (!clear(colour)) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  return [...document.querySelectorAll('body *')]
    .filter((one) => one.checkVisibility() && !one.matches(':disabled'))
    .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .map((one) => {
      const [front, back] = [getComputedStyle(one).color, behind(one)].map(light);
      const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
      return [one.textContent.trim().slice(0, 40), ratio];
    });
}"""
STOPS = """() => [...document.querySelectorAll(
    'a[href], button, input, textarea, select, [tabindex]')]
  .filter((one) => one.checkVisibility() && !one.disabled && one.tabIndex >= 0)
  .map((one) => one.id || one.className || one.value)"""


@pytest.fixture(params=["light", "dark"])
def themed(request: pytest.FixtureRequest, open_page: OpenPage) -> Page:
    page = open_page(color_scheme=request.param)
    page.wait_for_selector("#voices input")
    page.locator("#text").press_sequentially("one two three four five six")
    page.wait_for_function("() => sled.speaking.reading.received > 0")
    page.keyboard.press("Escape")
    return page


def test_text_stands_out_from_its_background(themed: Page) -> None:
    """At least 4.5 to 1, as WCAG 2.2 AA asks."""
    contrasts = themed.evaluate(CONTRASTS)
    assert len(contrasts) > 40
    themed.get_by_role("button", name="Add a voice").click()
    contrasts += themed.evaluate(CONTRASTS)
    assert [one for one in contrasts if one[1] < 4.5] == []


def tree(page: Page) -> list[dict[str, Any]]:
    session = page.context.new_cdp_session(page)
    nodes: list[dict[str, Any]] = session.send("Accessibility.getFullAXTree")["nodes"]
    return [node for node in nodes if not node.get("ignored")]


CONTROLS = {
    "button", "textbox", "slider", "spinbutton", "radio", "checkbox", "switch", "tab", "listbox",
    "tablist", "radiogroup", "meter", "dialog", "group", "image", "tabpanel",
}  # fmt: skip


@pytest.mark.parametrize("dialog", ["", "voice-dialog", "key-dialog"])
def test_each_control_has_a_name(page: Page, dialog: str) -> None:
    if dialog:
        page.evaluate(f"document.getElementById('{dialog}').showModal()")
    found = [node for node in tree(page) if node["role"]["value"] in CONTROLS]
    assert len(found) > 2
    nameless = [node["role"] for node in found if not node.get("name", {}).get("value")]
    assert nameless == []


def test_names_are_not_shared(page: Page) -> None:
    buttons = [node for node in tree(page) if node["role"]["value"] == "button"]
    names = [node["name"]["value"] for node in buttons]
    assert len(names) == len(set(names)) > 5


def test_the_tab_key_visits_everything_in_order_and_the_focus_is_seen(page: Page) -> None:
    expected = page.evaluate(STOPS)
    page.evaluate("document.activeElement.blur()")
    visited = []
    for _ in expected:
        page.keyboard.press("Tab")
        one = page.evaluate(
            """() => { const one = document.activeElement;
            const { outlineStyle, outlineWidth } = getComputedStyle(one);
            return [one.id || one.className || one.value, outlineStyle, outlineWidth]; }"""
        )
        visited.append(one[0])
        assert one[1] != "none" and one[2] != "0px", one
    assert visited == expected


def test_tabs_move_by_arrows(page: Page) -> None:
    page.locator("#tab-text").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#panel-chat").is_visible() and page.locator("#panel-text").is_hidden()
    assert page.locator("#tab-chat").get_attribute("aria-selected") == "true"
    page.keyboard.press("ArrowRight")
    assert page.locator("#panel-text").is_visible()


@pytest.mark.parametrize("width", [360, 700, 1280])
def test_nothing_is_cut_off(open_page: OpenPage, width: int) -> None:
    page = open_page(viewport={"width": width, "height": 740})
    page.wait_for_selector("#voices input")
    page.locator("#text").fill("Donaudampfschifffahrtsgesellschaftskapitänskajütenschlüssel " * 3)
    page.locator("#stop").wait_for()
    wide = page.evaluate(
        """() => [...document.querySelectorAll('body *')]
          .filter((one) => one.checkVisibility() && !one.closest('.skip, .hidden, pre'))
          .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
          .map((one) => one.tagName + '#' + one.id)"""
    )
    assert wide == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_with_reduced_motion_the_picture_stands_still(open_page: OpenPage) -> None:
    """The playhead moves over a page of eight seconds, which is then turned."""
    page = open_page(reduced_motion="reduce")
    edges = page.evaluate(
        """async () => {
          const { Pictures } = await import('/page/pictures.js');
          const pictures = new Pictures(document.createElement('canvas'));
          return [0, 3, 7.9, 8.1, 15].map((now) => pictures.leftEdge(now));
        }"""
    )
    assert edges == [0, 0, 0, 8, 8]


def test_what_happens_is_announced(page: Page) -> None:
    page.locator("#text").press_sequentially("one two three four five six")
    page.get_by_role("status").get_by_text("Speaking.").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("status").get_by_text("Stopped.").wait_for()
