"""Systems of others: a command, a server with OpenAI's interface, or a folder of audio files."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from typing_extensions import override

from sled.evaluation.items import Item
from sled.evaluation.systems.base import System, Utterance
from sled.files.audio import write_audio

TIMEOUT_S = 600
PROMPT_RATE = 24_000
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
PIECE_BYTES = 4096
# Bytes of a header: audio has begun when more has arrived.
HEADER_BYTES = 44


def parse_system(spec: str) -> System:
    """Make the system that `--system NAME=WHERE` names.

    Args:
        spec: NAME=WHERE, where WHERE is the address of a server, a folder, or a command with
            placeholders.

    Raises:
        ValueError: If it is none of them.
    """
    name, equals, where = spec.partition("=")
    if not equals or not re.fullmatch(r"[\w.+-]+", name):
        raise ValueError(
            f"--system {spec!r}: give NAME=WHERE, with a name of letters, digits, dots and dashes"
        )
    if where.startswith(("http://", "https://")):
        return Server(name, where)
    if Path(where).is_dir():
        return Folder(name, Path(where))
    if "{output}" in where:
        return Command(name, where)
    raise ValueError(
        f"--system {spec!r}: {where!r} is no folder, no address of a server, and no command with "
        "{output} in it"
    )


def _read(source: Any, what: str) -> tuple[np.ndarray, int]:
    """Samples [S] and rate of an audio file, which may be silent; channels are averaged."""
    try:
        samples, rate = soundfile.read(source, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise ValueError(f"{what} gave no audio that can be read ({error})") from error
    waveform: np.ndarray = samples.mean(1)
    return waveform, rate


class Command(System):
    """A program that is started for each item, without a shell.

    Args:
        name: Its name in reports.
        template: The command; {text}, {text_file}, {output}, {seed}, {prompt_audio} and
            {prompt_text} are replaced in its words.
    """

    max_batch = 1

    def __init__(self, name: str, template: str) -> None:
        self.name = name
        self._words = shlex.split(template)
        self.uses_seed = "{seed}" in template
        self._template = template

    @override
    def settings(self) -> dict[str, Any]:
        return {"command": self._template}

    @override
    def speak(self, items: Sequence[Item], seeds: Sequence[int]) -> list[Utterance]:
        return [self._speak(item, seed) for item, seed in zip(items, seeds, strict=True)]

    def _speak(self, item: Item, seed: int) -> Utterance:
        with tempfile.TemporaryDirectory() as folder:
            output, text_file = Path(folder, "output.wav"), Path(folder, "text.txt")
            text_file.write_text(item.text, encoding="utf-8")
            values = {
                "text": item.text,
                "text_file": str(text_file),
                "output": str(output),
                "seed": str(seed),
            }
            if item.prompt is not None:
                prompt = Path(folder, "prompt.wav")
                write_audio(prompt, item.prompt.load(PROMPT_RATE), PROMPT_RATE)
                values |= {"prompt_audio": str(prompt), "prompt_text": item.prompt.text}
            words = [_fill(word, values, item.id) for word in self._words]
            start = time.perf_counter()
            try:
                done = subprocess.run(words, capture_output=True, timeout=TIMEOUT_S, check=False)
            except (OSError, subprocess.TimeoutExpired) as error:
                raise ValueError(f"{self.name}: the command failed ({error})") from error
            elapsed_s = time.perf_counter() - start
            if done.returncode or not output.is_file():
                last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
                raise ValueError(
                    f"{self.name}: the command wrote no audio for item {item.id} (status "
                    f"{done.returncode}{': ' if last else ''}{''.join(last)})"
                )
            audio, rate = _read(output, self.name)
        return Utterance(audio, rate, synthesis_s=elapsed_s)


def _fill(word: str, values: dict[str, str], item_id: str) -> str:
    """Replace the placeholders of a word of a command; in what is put in, none is replaced."""

    def value_of(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise ValueError(
                f"item {item_id} has no {match[1]}, which the command of --system needs"
            )
        return values[match[1]]

    names = "text|text_file|output|seed|prompt_audio|prompt_text"
    return re.sub(rf"\{{({names})\}}", value_of, word)


class Server(System):
    """A server with OpenAI's interface for speech.

    Args:
        name: Its name in reports.
        address: Such as http://localhost:8000/v1?model=tts-1&voice=alloy: what stands behind the
            question mark is sent with each text.
    """

    uses_seed = False
    max_batch = 1

    def __init__(self, name: str, address: str) -> None:
        self.name, self._address = name, address
        parts = urllib.parse.urlsplit(address)
        self._url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/audio/speech"
        fields = dict(urllib.parse.parse_qsl(parts.query))
        self._key = fields.pop("key", "unused")
        self._fields = {"model": "tts-1", "voice": "alloy", "response_format": "wav", **fields}

    @override
    def settings(self) -> dict[str, Any]:
        return {"server": self._url, **self._fields}

    @override
    def speak(self, items: Sequence[Item], seeds: Sequence[int]) -> list[Utterance]:
        return [self._speak(item) for item in items]

    def _speak(self, item: Item) -> Utterance:
        body = json.dumps({**self._fields, "input": item.text}).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
        request = urllib.request.Request(self._url, body, headers)
        start, first_audio_s, content = time.perf_counter(), None, b""
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
                while piece := response.read1(PIECE_BYTES):
                    content += piece
                    if first_audio_s is None and len(content) > HEADER_BYTES:
                        first_audio_s = time.perf_counter() - start
        except OSError as error:
            raise ValueError(f"{self.name}: {self._url} did not answer ({error})") from error
        elapsed_s = time.perf_counter() - start
        audio, rate = _read(io.BytesIO(_with_sizes(content)), self.name)
        return Utterance(audio, rate, synthesis_s=elapsed_s, first_audio_s=first_audio_s)


def _with_sizes(content: bytes) -> bytes:
    """WAV data whose header has the right sizes; servers that stream cannot know them."""
    at = content.find(b"data", 12, 200)
    if content[:4] != b"RIFF" or at < 0:
        return content
    size = min(len(content) - at - 8, 0xFFFFFFFF)
    riff = (len(content) - 8).to_bytes(4, "little")
    return b"RIFF" + riff + content[8 : at + 4] + size.to_bytes(4, "little") + content[at + 8 :]


class Folder(System):
    """Audio files with the items' names, which something else has written.

    Args:
        name: Its name in reports.
        folder: Holds ID.wav (or .flac, .ogg, .mp3) of each item.
    """

    uses_seed = False

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self._folder = name, folder

    @override
    def settings(self) -> dict[str, Any]:
        return {"folder": str(self._folder)}

    @override
    def speak(self, items: Sequence[Item], seeds: Sequence[int]) -> list[Utterance]:
        return [Utterance(*_read(self._file(item), self.name)) for item in items]

    def _file(self, item: Item) -> Path:
        paths = [self._folder / f"{item.id}{suffix}" for suffix in SUFFIXES]
        found = next((path for path in paths if path.is_file()), None)
        if found is None:
            raise ValueError(f"{self.name}: no {paths[0]}, nor with {', '.join(SUFFIXES[1:])}")
        return found
