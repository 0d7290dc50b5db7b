"""Flags that several subcommands share, each defined once; without imports that take time."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from sled.bundled import BUNDLED_MODELS, DEFAULT_MODEL

# As `sled.fast.PRECISIONS`, which cannot be imported without torch.
PRECISIONS = ("float32", "bfloat16", "float16", "int8", "int4")
LAYOUTS = ("offline", "stream")
# As `sled.normalization.DIALECTS`.
DIALECTS = ("american", "british")
MAX_WORKERS = 1000

Flags = argparse._ActionsContainer
"""A parser, or a group of its flags."""


def add_model_flag(flags: Flags, what: str = "checkpoint", required: bool = False) -> None:
    """`--model`, with its published spelling `--model_name_or_path`."""
    bundled = ", ".join(BUNDLED_MODELS)
    unset = "" if required else f"; unset: {DEFAULT_MODEL}"
    flags.add_argument(
        "--model",
        "--model_name_or_path",
        required=required,
        metavar="MODEL",
        help=f"{what}: folder, hub name, or a bundled model ({bundled}){unset}",
    )


def add_codec_flag(flags: Flags, required: bool = False) -> None:
    """`--codec`; if it is not required, the model's own by default."""
    unset = "; unset: the folder `codec` in or beside the checkpoint, else facebook/encodec_24khz"
    flags.add_argument(
        "--codec",
        required=required,
        help="codec: folder, hub name, .th file, spectral (bundled), or a model for its codec"
        f"{'' if required else unset}",
    )


def add_device_flag(flags: Flags) -> None:
    """`--device`."""
    flags.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps, or auto")


def add_dtype_flag(flags: Flags) -> None:
    """`--dtype` of commands that speak."""
    flags.add_argument(
        "--dtype",
        choices=("auto", *PRECISIONS),
        default="auto",
        help="precision of the model; int8 and int4 run on a CPU, int4 after `sled quantize`; "
        "auto: chosen by the model's size and the machine (see `sled doctor`)",
    )


def add_model_flags(parser: argparse.ArgumentParser) -> Flags:
    """The group of flags that name a model and say how it runs."""
    group = parser.add_argument_group("model")
    add_model_flag(group)
    add_codec_flag(group)
    add_device_flag(group)
    add_dtype_flag(group)
    return group


def add_output_flag(flags: Flags, help_text: str, default: str | None = None) -> None:
    """`--output`, or `-o`. Required if it has no default."""
    flags.add_argument(
        "--output", "-o", type=Path, required=default is None, default=default, help=help_text
    )


def add_sampling_flags(flags: Flags, unset: str = "as the checkpoint recommends, else 2") -> None:
    """Guidance, noise and number of draws."""
    flags.add_argument(
        "--cfg",
        type=float,
        help=f"guidance scale, 1 for none; unset: {unset}",
    )
    flags.add_argument(
        "--temperature",
        type=float,
        help="scale of the noise; unset: as the checkpoint recommends, else 1",
    )
    flags.add_argument(
        "--draws",
        type=int,
        help="each frame is the mean of this many draws: more draws give fewer errors and less "
        "lively speech; unset: as the checkpoint recommends, else 1",
    )


def add_stop_threshold_flag(flags: Flags) -> None:
    """`--stop_threshold`."""
    flags.add_argument(
        "--stop_threshold",
        type=float,
        help="stop probability at which speech ends; unset: 0.8 offline, 0.5 streaming",
    )


def add_track_text_flag(flags: Flags) -> None:
    """`--track_text`, with its old spelling `--keep_place`."""
    flags.add_argument(
        "--track_text",
        "--keep_place",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep speech in the order of its text, if the codec has a token channel",
    )


def add_workers_flag(flags: Flags, work: str, default: int | None = None) -> None:
    """`--num_workers`, up to four by default."""
    flags.add_argument(
        "--num_workers",
        type=_num_workers,
        default=min(4, os.cpu_count() or 1) if default is None else default,
        help=f"processes that {work}; 0: the main process",
    )


def _num_workers(value: str) -> int:
    if not (value.isdecimal() and int(value) <= MAX_WORKERS):  # all of them are started at once
        raise argparse.ArgumentTypeError(f"{value!r}: give a number from 0 to {MAX_WORKERS}")
    return int(value)


def add_prompt_flags(flags: Flags, required: bool = False) -> None:
    """The recording of a voice and its transcript."""
    flags.add_argument(
        "--prompt_audio",
        required=required,
        help="recording: WAV, FLAC, Ogg or MP3; m4a, webm, mp4 and others with the extra `media`",
    )
    flags.add_argument(
        "--prompt_text",
        help="transcript of the recording; unset: it is recognised (needs the extra `eval`)",
    )
    flags.add_argument(
        "--instruction",
        help="style instruction for a model of speech tokens, which it reads instead of the "
        'recording; "": to speak another language than the recording; only the flow reads it then',
    )
    flags.add_argument(
        "--whisper",
        default="base",
        help="recogniser for a recording without --prompt_text: Whisper size, hub name or folder",
    )


def add_voice_flags(parser: argparse.ArgumentParser) -> None:
    """The voice to speak with."""
    group = parser.add_argument_group("voice")
    add_prompt_flags(group)
    add_voice_file_flag(group)


def add_voice_file_flag(flags: Flags) -> None:
    """`--voice`."""
    flags.add_argument(
        "--voice",
        help="name of a voice that came with the model, see `sled voices list`, or voice file of "
        "`sled voices make`; unset: the model's own",
    )


def add_speech_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of all commands that speak; published names and defaults are kept."""
    model = add_model_flags(parser)
    model.add_argument("--bf16", action="store_true", help="the same as --dtype bfloat16")
    model.add_argument("--fp16", action="store_true", help="the same as --dtype float16")

    text = parser.add_argument_group("text")
    text.add_argument(
        "text", nargs="?", help="text to speak, or - for standard input; unset: an example sentence"
    )
    text.add_argument("--input", help="the same as a flag, as published")
    text.add_argument("--input_file", help="speak the text of this UTF-8 file instead")
    text.add_argument(
        "--pronunciations",
        metavar="FILE",
        help="dictionary with a line for each word: the word, two spaces or a tab, and how it is "
        "said, as another spelling or as /phonemes/",
    )
    text.add_argument(
        "--dialect",
        choices=DIALECTS,
        default=DIALECTS[0],
        help="how dates in digits and large numbers are read (default: %(default)s)",
    )

    decoding = parser.add_argument_group("decoding")
    add_sampling_flags(
        decoding, "as the checkpoint recommends, else 2 for bundled models and 1 for others"
    )
    decoding.add_argument("--seed", type=int, default=42, help="seed of the first reading")
    decoding.add_argument(
        "--max_length", type=int, default=0, help="text tokens plus frames; 0: all positions"
    )
    decoding.add_argument("--min_frames", type=int, default=0, help="frames before it may stop")
    add_stop_threshold_flag(decoding)
    add_track_text_flag(decoding)
    decoding.add_argument(
        "--num_return_sequences",
        type=int,
        default=1,
        help="number of readings, each with the next seed",
    )

    output = parser.add_argument_group("output")
    output.add_argument("--trim_tail", action="store_true", help="leave out silence at the end")
    output.add_argument(
        "--output",
        "-o",
        default="output.wav",
        help="audio file (several readings get -1, -2, ...), or - for raw samples on standard "
        "output: 16 bits, mono, without a header, such as `aplay -f S16_LE -r 24000` plays",
    )


def add_redraw_flag(parser: argparse.ArgumentParser) -> None:
    """`--max_redraws` of commands that finish the speech before it is written."""
    parser.add_argument(
        "--max_redraws",
        type=int,
        default=0,
        help="further attempts with other seeds if speech falls silent, is far too long or far "
        "too short",
    )


def add_marks_flag(parser: argparse.ArgumentParser) -> None:
    """`--marks` of commands that finish the speech before it is written."""
    parser.add_argument(
        "--marks",
        type=Path,
        metavar="FILE",
        help="also write when each word is said: a .json file, or subtitles as .srt or .vtt "
        "(several readings get -1, -2, ...)",
    )


def given(args: argparse.Namespace, *names: str) -> dict[str, object]:
    """Values of those flags that are set."""
    return {name: value for name in names if (value := getattr(args, name)) is not None}
