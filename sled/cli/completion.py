"""Print a completion script for a shell.

For bash or zsh, put the example into ~/.bashrc or ~/.zshrc; for fish, write the output to
~/.config/fish/completions/sled.fish.
"""

from __future__ import annotations

import argparse

EXAMPLE = 'eval "$(sled completion bash)"'


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled completion`."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell")


def run(args: argparse.Namespace) -> None:
    """Print the script."""
    from argcomplete.shell_integration import shellcode

    print(shellcode(["sled"], shell=args.shell))
