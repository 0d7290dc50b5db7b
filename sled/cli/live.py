"""A live client of a session: it writes text at a given speed and takes audio as it is made."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
from tqdm import tqdm

from sled.cli.speaking import NO_SPEECH, STANDARD_OUTPUT, Reading, Task, report, write_raw
from sled.cli.text_input import arriving_text
from sled.files.audio import AudioWriter
from sled.files.extras import install_command
from sled.simulation.client import Outlet, converse
from sled.simulation.pacing import release, schedule, token_texts
from sled.streaming.voice import Voice


def speak_live(args: argparse.Namespace, task: Task, voice: Voice | None) -> None:
    """Speak one reading after the other as a live client does; write the audio and report.

    Audio is written as it is made, so that memory does not grow with the text.

    Raises:
        ValueError: If the model says nothing; then no file is written.
    """
    readings, elapsed_s = [], 0.0
    sample_rate = task.tts.codec.sample_rate
    for seed, path in zip(task.seeds, task.paths, strict=True):
        if task.text is None:
            released = arriving_text()
        else:
            pieces = token_texts(task.tts.tokenizer, task.text)
            released = release(schedule(pieces, args.tokens_per_second))
        with ExitStack() as stack:
            outlets: list[Outlet] = []
            if args.play:
                outlets.append(stack.enter_context(_loudspeaker(sample_rate)))
            if path == STANDARD_OUTPUT:
                outlets.append(write_raw)
            else:
                outlets.append(stack.enter_context(AudioWriter(path, sample_rate)).write)
            outlets.append(stack.enter_context(_progress(sample_rate)))
            session = stack.enter_context(
                task.tts.open_session(
                    voice=voice,
                    seed=seed,
                    decoding=task.options,
                    layout=task.layout,
                    max_start_delay_s=args.max_start_delay_s,
                    max_ahead_s=None,
                    trim_tail=args.trim_tail,
                    max_silence_s=args.max_silence_s,
                )
            )
            timeline = converse(session, released, outlets)
            if not timeline.chunks:
                raise ValueError(NO_SPEECH)
            stopped = session.stopped
        playback = timeline.playback(sample_rate)
        elapsed_s += timeline.chunks[-1][0]
        seconds = timeline.num_samples / sample_rate
        readings.append(Reading(path, seconds, sample_rate, stopped))
        print(f"{timeline.first_text_s:8.3f} s  first text", file=sys.stderr)
        print(f"{timeline.last_text_s:8.3f} s  text complete", file=sys.stderr)
        print(playback.describe(), file=sys.stderr)
    report(readings, elapsed_s)


@contextmanager
def _progress(sample_rate: int) -> Iterator[Outlet]:
    """Shows on a terminal how much audio there is."""
    form = "{desc}: {n:.1f} s of audio in {elapsed}"
    with tqdm(desc="speaking", bar_format=form, disable=None, leave=False) as bar:
        yield lambda audio: bar.update(len(audio) / sample_rate)


@contextmanager
def _loudspeaker(sample_rate: int) -> Iterator[Outlet]:
    """Plays audio; at the end it waits until all of it has been played.

    Raises:
        ValueError: If there is no player or no loudspeaker.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: PortAudio itself is missing
        raise ValueError(
            f"--play needs sounddevice ({error}): {install_command('play')}, or pipe "
            "`--output -` into a player of raw 16-bit audio"
        ) from error
    try:
        with sounddevice.OutputStream(samplerate=sample_rate, channels=1) as stream:
            yield lambda audio: stream.write(np.ascontiguousarray(audio[:, None]))
    except sounddevice.PortAudioError as error:
        raise ValueError(f"--play: no audio device works here ({error})") from error
