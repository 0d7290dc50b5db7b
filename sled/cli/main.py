"""The command `sled`: finds the subcommand, runs it, and turns errors into one line."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

from typing_extensions import override

from sled.cli.commands import COMMANDS, GROUPS, LONG_WORK, SECTIONS, Command, find_command
from sled.cli.source_flags import read_flags
from sled.files.suggest import did_you_mean
from sled.startup import wait_without_spinning

# Exit statuses.
FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        argv: Words after `sled`. None: those of the process.

    Returns:
        The exit status.
    """
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what may follow
        _complete()
    words = sys.argv[1:] if argv is None else list(argv)
    for word in words:
        if not _is_utf8(word):
            print(f"error: {os.fsencode(word)!r} is not UTF-8 text", file=sys.stderr)
            return BAD_INPUT
    return guard(lambda: _run(words))


def run_process() -> NoReturn:
    """Run the command line of this process, and end the process.

    Python takes up to a second to free what torch has loaded. A short command leaves that to the
    operating system: everything it has written is closed by then.
    """
    status = main()
    if find_command(sys.argv[1:]) in LONG_WORK:  # workers and writers end by exit handlers
        sys.exit(status)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a reader that has left has nothing more to read
            stream.flush()
    os._exit(status)


def guard(function: Callable[[], int | None]) -> int:
    """Run a function as a command: with logging, and with errors of the user as one line.

    Returns:
        The exit status: what the function returns, 2 for bad input, 130 if interrupted.
    """
    configure_logging()
    try:
        return function() or 0
    except BrokenPipeError:  # the reader of the output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (ValueError, OSError) as error:
        print_error(str(error))
        return BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def print_error(message: str) -> None:
    """Print a message about bad input, in one line."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)


def configure_logging() -> None:
    """Show our messages, and of other libraries only errors."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("httpx", "huggingface_hub"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    # transformers reads these when it is imported, which most commands do late or never.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if "transformers" in sys.modules:
        transformers_logging = import_module("transformers.utils.logging")
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()


def build_parser(chosen: str | None = None) -> argparse.ArgumentParser:
    """The parser of `sled`.

    Args:
        chosen: The only command that gets its flags, so that no other module is imported. None:
            no command gets them.
    """
    parser = Parser(
        prog="sled",
        description=_overview(),
        formatter_class=HelpFormatter,
        usage="%(prog)s COMMAND ...",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    hidden = argparse.SUPPRESS  # the overview lists them in sections
    commands = parser.add_subparsers(metavar="COMMAND", prog="sled", help=hidden, required=True)
    groups = {}
    for name, summary in GROUPS.items():
        group = commands.add_parser(
            name,
            description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=HelpFormatter,
            usage="%(prog)s COMMAND ...",
        )
        groups[name] = group.add_subparsers(
            metavar="COMMAND", prog=f"sled {name}", title="commands", required=True
        )
    for name, command in COMMANDS.items():
        *group_name, last = name.split()
        if len(group_name) > 1:  # it parses its flags itself, below another command
            continue
        siblings = groups[group_name[0]] if group_name else commands
        if name == chosen and command.own_parser:  # to complete a line
            parser_of_chosen = siblings.add_parser(last)
            for flag in read_flags(command.settings):
                parser_of_chosen.add_argument(flag)
        elif name == chosen:
            _add_flags(siblings.add_parser(last, formatter_class=HelpFormatter), command)
        else:
            siblings.add_parser(last, help=command.summary, add_help=False)
    return parser


def _add_flags(parser: argparse.ArgumentParser, command: Command) -> None:
    """Import the module of a command, and add its flags and its texts."""
    module = import_module(command.module)
    parser.description = (module.__doc__ or "").strip()
    parser.epilog = f"example:\n  {module.EXAMPLE}"
    module.add_flags(parser)
    parser.set_defaults(run_command=module.run, known_flags=[*parser._option_string_actions])
    words = [parser.prog, "[flags]"]
    for action in parser._actions:
        if not action.option_strings:
            name = str(action.metavar or action.dest)
            words.append(f"[{name}]" if action.nargs in ("?", "*") else name)
    parser.usage = " ".join(words)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    @override
    def error(self, message: str) -> NoReturn:
        print_error(f"{message}: see {self.prog} --help")
        self.exit(BAD_INPUT)


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Descriptions as they are written, and the default of each flag that has one."""

    @override
    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False or action.default == []:
            return action.help
        return super()._get_help_string(action)


class _Version(argparse.Action):
    """Prints the version; `sled` is imported for it only then."""

    @override
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from sled import __version__

        print(f"sled {__version__}")
        parser.exit()


def _run(words: list[str]) -> int | None:
    if not words or (len(words) == 1 and words[0] in GROUPS):
        words = [*words, "--help"]
    name = find_command(words)
    if name in LONG_WORK:
        wait_without_spinning()
    if name is None:
        _refuse_unknown(words)
    elif COMMANDS[name].own_parser:
        status: int | None = import_module(COMMANDS[name].module).main(words[len(name.split()) :])
        return status
    args, unknown = build_parser(name).parse_known_args(words)
    flags: list[str] = vars(args).pop("known_flags", [])
    if unknown:
        suggestion = did_you_mean(unknown[0].partition("=")[0], flags)
        message = f"unrecognized arguments: {' '.join(unknown)}{suggestion}"
        Parser(prog=f"sled {name}").error(message)
    run: Callable[[argparse.Namespace], int | None] = vars(args).pop("run_command")
    return run(args)


def _is_utf8(word: str) -> bool:
    """Whether Python could decode a word of the command line: otherwise it keeps bytes in it."""
    try:
        word.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _refuse_unknown(words: list[str]) -> None:
    """End with an error if the words name a command that does not exist."""
    group = words[0] if words[0] in GROUPS else None
    name = words[0] if group is None else words[1]
    if name.startswith("-"):  # a flag, such as --help
        return
    names = {name.split()[0] for name in COMMANDS}
    if group is not None:
        names = {name.split()[1] for name in COMMANDS if name.split()[0] == group}
    prog = "sled" if group is None else f"sled {group}"
    Parser(prog=prog).error(f"no command {name!r} in {prog}{did_you_mean(name, names)}")


def _overview() -> str:
    """What `sled` does, and its commands in sections."""
    lines = ["Text to speech, streamed while the text is being written.", ""]
    for section, names in SECTIONS.items():
        lines.append(f"{section}:")
        for name in names:
            summary = GROUPS.get(name) or COMMANDS[name].summary
            lines.append(f"  {name:11s} {summary}")
    return "\n".join([*lines, "", "sled COMMAND --help explains the flags of a command."])


def _complete() -> None:
    """Answer a shell that completes a command line, and end the process."""
    from argcomplete import autocomplete
    from argcomplete.lexers import split_line

    words = split_line(os.environ["COMP_LINE"], int(os.environ["COMP_POINT"]))[3]
    autocomplete(build_parser(find_command(words[1:])))
