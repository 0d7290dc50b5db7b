"""Messages, help and docstrings name only flags that exist."""

import argparse
import ast
import re
from pathlib import Path

from transformers import HfArgumentParser

from sled.cli.commands import COMMANDS
from sled.cli.main import build_parser
from sled.training.arguments import make_parser
from sled.training.codec import CodecTrainingConfig
from sled.training.simpletts.flow import make_flow_parser
from sled.training.simpletts.lm import make_lm_parser
from sled.training.tokenizer.config import TokenizerTrainingConfig
from sled.training.tokens.arguments import make_token_parser
from sled.training.tokens.average import make_average_parser
from sled.training.tokens.cosyvoice_flags import make_published_parser
from tests.commands import ROOT

# Of other programs, of the scripts beside Pocket TTS, and the part before the dot of
# --ddp.dist_backend.
FOREIGN = {"--int8", "--ddp", "--nproc_per_node", "--format", "--id", "--query-gpu"}


def flags_of(parser: argparse.ArgumentParser) -> set[str]:
    """Flags of a parser and its subparsers."""
    flags = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                flags |= flags_of(one)
    return flags


def named_flags(file: Path) -> set[str]:
    """Flags in the strings of a source file."""
    strings = [
        node.value
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return set(re.findall(r"(?<![\w-])--[a-z][\w-]*\w", "\n".join(strings)))


def test_every_flag_that_is_named_exists() -> None:
    known = flags_of(make_parser()) | FOREIGN
    for config in (CodecTrainingConfig, TokenizerTrainingConfig):
        known |= flags_of(HfArgumentParser(config))
    for make in (
        make_token_parser,
        make_published_parser,
        make_average_parser,
        make_lm_parser,
        make_flow_parser,
    ):
        known |= flags_of(make())
    for name in COMMANDS:
        known |= flags_of(build_parser(name))
    unknown = {
        str(file.relative_to(ROOT)): sorted(missing)
        for file in sorted((ROOT / "sled").rglob("*.py"))
        if (missing := named_flags(file) - known)
    }
    assert unknown == {}
