"""A live client of a session: text at the speed of writing, sound as it is made, and a timeline."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
from tqdm import tqdm

from sled.cli.speaking import NO_SPEECH, STANDARD_OUTPUT, Made, Task, report
from sled.files.audio import AudioWriter
from sled.simulation.client import Outlet, converse
from sled.simulation.pacing import release, schedule, token_texts
from sled.streaming.session import to_int16
from sled.streaming.voice import Voice
from sled.tts import MAX_START_DELAY_S


def add_live_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of a live client, over and above those of every script that speaks."""
    live = parser.add_argument_group("live")
    live.add_argument(
        "--tokens_per_second",
        type=float,
        default=float("inf"),
        help="speed at which the text is written; inf: all at once",
    )
    live.add_argument(
        "--max_start_delay_s",
        type=float,
        default=MAX_START_DELAY_S,
        help="text that comes more slowly than it is spoken lets the first sound wait, at most so "
        "long, so that speech does not falter; 0: the first sound never waits",
    )
    live.add_argument(
        "--max_silence_s",
        type=float,
        help="end a segment, all of whose text has been read, after so much silence; unset: only "
        "when the model says so",
    )
    live.add_argument(
        "--play",
        action="store_true",
        help="play the speech as it is made (needs the extra `play`); or let another program do "
        "it: `--output -` writes raw 16-bit samples to standard output",
    )


def speak_live(args: argparse.Namespace, task: Task, voice: Voice | None) -> None:
    """Speak one reading after the other as a live client does; print and write what comes of it.

    Audio is written as it is made: of a text of any length, no more is kept than is on its way.

    Raises:
        ValueError: If the model says nothing; then no file is written.
    """
    readings, elapsed_s = [], 0.0
    sample_rate = task.tts.codec.sample_rate
    for seed, path in zip(task.seeds, task.paths, strict=True):
        pieces = token_texts(task.tts.tokenizer, task.text)
        released = release(schedule(pieces, args.tokens_per_second))
        with ExitStack() as stack:
            outlets: list[Outlet] = []
            if args.play:
                outlets.append(stack.enter_context(_loudspeaker(sample_rate)))
            if path == STANDARD_OUTPUT:
                outlets.append(_write_pcm)
            else:
                outlets.append(stack.enter_context(AudioWriter(path, sample_rate)).write)
            outlets.append(stack.enter_context(_progress(sample_rate)))
            session = stack.enter_context(
                task.tts.open_session(
                    voice=voice,
                    seed=seed,
                    options=task.options,
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
        readings.append(Made(path, seconds, sample_rate, stopped))
        print(f"{timeline.first_text_s:8.3f} s  first text", file=sys.stderr)
        print(f"{timeline.last_text_s:8.3f} s  text complete", file=sys.stderr)
        print(playback.describe(), file=sys.stderr)
    report(readings, elapsed_s)


def _write_pcm(audio: np.ndarray) -> None:
    """Raw 16-bit mono to standard output, for another program to play."""
    sys.stdout.buffer.write(to_int16(audio).astype("<i2").tobytes())
    sys.stdout.buffer.flush()


@contextmanager
def _progress(sample_rate: int) -> Iterator[Outlet]:
    """Shows on a terminal how much there is already of what it is given."""
    form = "{desc}: {n:.1f} s of audio in {elapsed}"
    with tqdm(desc="speaking", bar_format=form, disable=None, leave=False) as bar:
        yield lambda audio: bar.update(len(audio) / sample_rate)


@contextmanager
def _loudspeaker(sample_rate: int) -> Iterator[Outlet]:
    """Plays what it is given; at the end it waits until all has been heard.

    Raises:
        ValueError: If there is nothing to play with.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: PortAudio itself is missing
        raise ValueError(
            f"--play needs sounddevice ({error}): pip install 'sled[play]', or pipe "
            "`--output -` into a player of raw 16-bit audio"
        ) from error
    try:
        with sounddevice.OutputStream(samplerate=sample_rate, channels=1) as stream:
            yield lambda audio: stream.write(np.ascontiguousarray(audio[:, None]))
    except sounddevice.PortAudioError as error:
        raise ValueError(f"--play: no sound can be played here ({error})") from error
