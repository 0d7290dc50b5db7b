"""Voices are added from the microphone or a file, heard, and removed."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from tests.serving.conftest import Running
from tests.serving.page.conftest import MICROPHONE_HZ, OpenPage

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

CONSENT = "This is my voice, or its owner has agreed that it is cloned."


def uploaded(body: bytes) -> tuple[bytes, str]:
    """The file, and everything else of a form as text."""
    start = body.index(b"RIFF")
    size = 8 + int.from_bytes(body[start + 4 : start + 8], "little")
    return body[start : start + size], (body[:start] + body[start + size :]).decode()


def fill_form(page: Page, name: str = "mine", transcript: str = "a tone") -> None:
    page.locator("#voice-name").fill(name)
    page.locator("#voice-transcript").fill(transcript)
    if page.locator("#consent").is_visible():
        page.locator("#consent").check()


def test_a_recording_is_what_the_microphone_heard(page: Page) -> None:
    """The fake microphone plays a tone."""
    bodies: list[bytes] = []

    def answer(route: Route) -> None:
        if route.request.method != "POST":
            route.fallback()
            return
        bodies.append(route.request.post_data_buffer or b"")
        route.fulfill(status=201, json={"id": "v1", "name": "mine", "kind": "uploaded"})

    page.route("**/v1/audio/voices", answer)
    page.get_by_role("button", name="Add a voice").click()
    page.locator("#voice-record").click()
    page.wait_for_function("() => document.getElementById('voice-elapsed').textContent >= '2 s'")
    # A sine of amplitude 0.25 has a level of -15 dB.
    assert abs(page.locator("#voice-level").evaluate("(one) => one.value") + 15) < 2
    page.locator("#voice-record").click()
    assert page.locator("#voice-sample").is_visible()
    fill_form(page)
    page.locator("#voice-add").click()
    page.locator("#voice-dialog").wait_for(state="hidden")
    file, fields = uploaded(bodies[0])
    for value in ('name="name"', "mine", 'name="ref_text"', "a tone", 'name="consent"', CONSENT):
        assert value in fields
    samples, rate = soundfile.read(io.BytesIO(file))
    assert samples.ndim == 1 and len(samples) >= 2 * rate
    sounding = samples[np.flatnonzero(np.abs(samples) > 0.01)[0] :]
    spectrum = np.abs(np.fft.rfft(sounding * np.hanning(len(sounding))))
    assert abs(np.argmax(spectrum) * rate / len(sounding) - MICROPHONE_HZ) < 2


def test_consent_and_audio_are_required(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.method) if "voices" in one.url else None)
    page.get_by_role("button", name="Add a voice").click()
    fill_form(page)
    page.locator("#voice-add").click()
    page.get_by_text("Record something, or choose a file.").wait_for()
    page.locator("#consent").uncheck()
    page.locator("#voice-add").click()
    assert page.locator("#voice-dialog").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#voice-dialog").is_hidden()
    assert "POST" not in asked


def test_a_recorded_consent_goes_with_the_voice(
    open_page: OpenPage, serve: Callable[..., Running], tmp_path: Path
) -> None:
    running = serve(voices=str(tmp_path), consent="recording")
    page = open_page(running.url)
    page.wait_for_selector("#voices input")
    noise = np.random.default_rng(1).normal(0, 0.1, 24_000)
    for name in ("voice", "consent"):
        soundfile.write(tmp_path / f"{name}.wav", noise, 24_000)
    page.get_by_role("button", name="Add a voice").click()
    page.locator("#voice-file").set_input_files(tmp_path / "voice.wav")
    fill_form(page, "Anna B.", "one two three")
    page.locator("#voice-add").click()
    page.get_by_text("Record the consent of the speaker").wait_for()
    page.locator("#consent-file").set_input_files(tmp_path / "consent.wav")
    page.locator("#voice-add").click()
    page.get_by_role("radio", name="Anna B.").wait_for()
    uploads = running.server.service.uploads
    (consent,) = uploads.consents.of("anyone")
    record = uploads.library["Anna B."].record
    assert record is not None and record.consent == consent.id
    assert consent.name == "Anna B."


def test_a_file_becomes_a_voice_that_speaks_and_can_be_removed(
    open_page: OpenPage, serve: Callable[..., Running], tmp_path: Path
) -> None:
    page = open_page(serve(voices=str(tmp_path)).url)
    page.wait_for_selector("#voices input")
    sample = tmp_path / "sample.wav"
    noise = np.random.default_rng(1).normal(0, 0.1, 24_000)
    soundfile.write(sample, noise, 24_000)
    page.get_by_role("button", name="Add a voice").click()
    page.locator("#voice-file").set_input_files(sample)
    fill_form(page, "Anna B.", "one two three")
    page.locator("#voice-add").click()
    voice = page.get_by_role("radio", name="Anna B.")
    voice.wait_for()
    assert voice.is_checked()
    page.get_by_role("button", name="Hear the voice Anna B.").click()
    page.wait_for_function("() => sled.speaking.reading?.received > 0")
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Remove the voice Anna B.").click()
    page.get_by_role("button", name="Remove", exact=True).click()
    voice.wait_for(state="hidden")
    assert page.get_by_role("radio", name="tiny").is_checked()


@pytest.mark.parametrize("code", ["missing_transcript", "consent_required"])
def test_what_is_wrong_with_a_voice_is_told_in_the_dialog(open_page: OpenPage, code: str) -> None:
    page = open_page(expected="400")
    page.wait_for_selector("#voices input")
    error = {"message": f"told: {code}", "type": "x", "param": None, "code": code}
    page.route(
        "**/v1/audio/voices",
        lambda route: (
            route.fulfill(status=400, json={"error": error})
            if route.request.method == "POST"
            else route.fallback()
        ),
    )
    page.get_by_role("button", name="Add a voice").click()
    sample = {"name": "a.wav", "mimeType": "audio/wav", "buffer": b"RIFF"}
    page.locator("#voice-file").set_input_files(sample)
    fill_form(page)
    page.locator("#voice-add").click()
    page.get_by_text(f"told: {code}").wait_for()
    assert page.locator("#voice-name").input_value() == "mine"
