"""A live client of a session: it writes text at a given speed and takes audio as it is made."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from operator import itemgetter

import numpy as np
from tqdm import tqdm

from sled.cli.speaking import NO_SPEECH, STANDARD_OUTPUT, Reading, Task, report_output, write_raw
from sled.cli.text_input import arriving_text
from sled.files.audio import AudioWriter
from sled.files.extras import install_command
from sled.simulation.client import Outlet, Timeline, converse
from sled.simulation.pacing import release, schedule, token_texts
from sled.streaming.voice import Voice


def speak_live(args: argparse.Namespace, task: Task, voice: Voice | None) -> None:
    """Speak one reading after the other as a live client does; write the audio and report.

    Audio is written as it is made, so that memory does not grow with the text.

    Raises:
        ValueError: If the model says nothing; then no file is written.
    """
    out, sample_rate = report_output(task.paths), task.tts.codec.sample_rate
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
                    pronunciations=task.pronunciations,
                    dialect=args.dialect,
                )
            )
            busy_before_s = task.tts.engine.busy_s
            timeline = converse(session, released, outlets)
            if not timeline.chunks:
                raise ValueError(NO_SPEECH)
            stopped = session.stopped
        lines = describe_timeline(timeline, sample_rate)
        reading = Reading(path, timeline.num_samples / sample_rate, sample_rate, stopped)
        busy_s = task.tts.engine.busy_s - busy_before_s
        speed = f"computing took {busy_s:.2f} s, real-time factor {busy_s / reading.seconds:.2f}"
        print(*lines, speed, reading.describe(), sep="\n", file=out)


def describe_timeline(timeline: Timeline, sample_rate: int) -> list[str]:
    """The times of text and audio as lines, in the order in which things happened.

    Args:
        timeline: A conversation in which there was audio.
        sample_rate: In Hz.
    """
    playback = timeline.playback(sample_rate)
    first_s, last_s = playback.first_audio_s, playback.chunks[-1].arrival_s
    delay_s = first_s - timeline.first_text_s
    events = [
        (timeline.first_text_s, "first text"),
        (timeline.last_text_s, "text complete"),
        (first_s, f"first audio, {delay_s:.2f} s after the first text"),
        (last_s, f"audio complete, chunks: {len(playback.chunks)}"),
    ]
    lines = [f"{time_s:7.2f} s  {event}" for time_s, event in sorted(events, key=itemgetter(0))]
    if stalls := playback.stalls_s:
        lines.append(f"a player would have stalled for {sum(stalls):.2f} s (gaps: {len(stalls)})")
    else:
        lines.append("a player would not have stalled")
    return lines


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
