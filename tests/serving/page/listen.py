"""The page beside `sled serve` for some minutes, as a listener has it.

    python -m tests.serving.page.listen --minutes 10 --folder listened

Not part of the tests, since it takes minutes. It types into the page in Chromium, stops it, and has
it speak on and on. It prints what Whisper hears (if that is installed), how long a stop takes, and
each minute the page's memory, real-time factor and underruns. The folder gets the audio and the
pictures of the documentation. Status 1 if the page grows, speaks wrongly or writes to its console.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from playwright.sync_api import Page, sync_playwright

from sled.benchmarks.load.own_server import own_server
from tests.serving.page.conftest import FLAGS, find_chromium
from tests.serving.page.test_speaking import TAP, heard_after_stop_s, kept_bytes, tapped, wait_for

TYPED = "The train leaves in ten minutes. Nobody had expected the rain to last, and yet it did."
SPOKEN = (
    "When the rain had stopped, we walked down to the harbour, where the boats were coming in, and "
    "bought some fish for the evening from an old man who seemed to know everybody. "
)
KEY_MS = 20
MAX_GROWTH = 1.1
STOPS, MAX_STOP_S = 5, 0.1
WIDE, NARROW = {"width": 1120, "height": 860}, {"width": 360, "height": 860}
FIGURES = """() => ['first-audio', 'underruns', 'factor'].map(
  (id) => document.getElementById(id).textContent)"""


def open_page(browser: Any, url: str, problems: list[str], **options: Any) -> Page:
    """The page, whose problems are noted."""
    page = browser.new_context(**options).new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda one: one.type in ("error", "warning") and problems.append(one.text))
    page.goto(url)
    page.wait_for_selector("#voices input")
    return page


def type_and_listen(page: Page, folder: Path) -> None:
    """Type a text while it is spoken, and keep what the loudspeaker gets."""
    page.evaluate(TAP)
    page.locator("#text").press_sequentially(TYPED, delay=KEY_MS)
    page.keyboard.press("Control+Enter")
    page.wait_for_function("() => sled.player.position > 3.2 * 24000", timeout=60_000)
    page.screenshot(path=folder / "page.png")
    wait_for(page, "r.complete && !r.speaking && sled.player.ended")
    rate = page.evaluate("sled.player.context.sampleRate")
    soundfile.write(folder / "heard.wav", tapped(page), rate)
    print(f"typed; first audio, underruns, real-time factor: {page.evaluate(FIGURES)}", flush=True)


def words_wrong(folder: Path, whisper: str) -> float | None:
    """The share of the typed words that Whisper does not hear; None without Whisper."""
    try:
        import jiwer
        from faster_whisper import WhisperModel
    except ImportError:
        return None
    segments, _ = WhisperModel(whisper).transcribe(str(folder / "heard.wav"), language="en")
    heard = "".join(segment.text for segment in segments)
    print(f"heard: {heard.strip()}")
    plain = [
        "".join(letter for letter in text.lower() if letter.isalpha() or letter == " ")
        for text in (TYPED, heard)
    ]
    return float(jiwer.wer(*plain))


def stop_s(page: Page) -> float:
    """Seconds from the key Escape to the last sound."""
    page.locator("#text").fill(SPOKEN * 2)
    page.keyboard.press("Control+Enter")
    wait_for(page, "r.tape.length > 48000 && !sled.player.dry && sled.player.position > 24000")
    page.evaluate("tap.pieces = []")
    return heard_after_stop_s(page, "key")


def speak_on(page: Page, minutes: float) -> list[int]:
    """Speak one text after the other; the memory in bytes at the end of each minute."""
    page.evaluate("tap.stop?.()")
    sizes, end_s = [], time.monotonic() + 60 * minutes
    underruns = 0
    while time.monotonic() < end_s:
        minute_s = time.monotonic() + 60
        while time.monotonic() < minute_s:
            page.locator("#text").fill(SPOKEN)
            page.evaluate("tap.pieces = []")
            page.keyboard.press("Control+Enter")
            wait_for(page, "r.complete && !r.speaking && sled.player.ended")
            underruns += page.evaluate(
                "Number.parseInt(document.getElementById('underruns').textContent)"
            )
        sizes.append(kept_bytes(page))
        first, _, factor = page.evaluate(FIGURES)
        print(
            f"minute {len(sizes)}: {sizes[-1] / 1e6:.1f} MB, first audio {first}, {underruns} "
            f"underruns so far, real-time factor {factor}",
            flush=True,
        )
    return sizes


def main() -> int:
    """Run, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--model", default="english")
    parser.add_argument("--whisper", default="base.en", help="a size, or a folder")
    parser.add_argument("--folder", type=Path, default=Path("listened"))
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    problems: list[str] = []
    with own_server(args.model) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        page = open_page(browser, url, problems, viewport=WIDE)
        type_and_listen(page, args.folder)
        narrow = open_page(browser, url, problems, viewport=NARROW, color_scheme="dark")
        narrow.locator("#text").fill(SPOKEN)
        narrow.keyboard.press("Control+Enter")
        narrow.wait_for_function("() => sled.player.position > 2.5 * 24000", timeout=60_000)
        narrow.screenshot(path=args.folder / "page-narrow.png")
        narrow.context.close()
        silent_s = float(np.median([stop_s(page) for _ in range(STOPS)]))
        print(f"a stop silences the page after {1000 * silent_s:.0f} ms (median)", flush=True)
        sizes = speak_on(page, args.minutes)
        browser.close()
    wrong = words_wrong(args.folder, args.whisper)
    print("words wrong: " + ("not judged" if wrong is None else f"{wrong:.0%}"))
    print(f"console: {problems or 'nothing'}")
    grown = len(sizes) > 2 and sizes[-1] > MAX_GROWTH * sizes[1]
    return int(grown or bool(problems) or silent_s > MAX_STOP_S or (wrong or 0) > 0.25)


if __name__ == "__main__":
    sys.exit(main())
