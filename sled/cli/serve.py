"""Serve speech to many callers, and to a browser a page that speaks while you type.

Clients use the APIs of OpenAI or ElevenLabs, a WebSocket that takes text while it is being written,
or the Wyoming protocol of Home Assistant. All callers share one model. A request that would make
the others stutter waits, and is refused after a while. Each flag is also an environment variable,
such as SLED_PORT=8080.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sled.files.extras import install_command

if TYPE_CHECKING:  # they need the extra
    from sled.serving.server import Server
    from sled.serving.settings import ServerSettings

EXAMPLE = "sled serve --port 8000"
# What the server says to itself at the start, if the model is not a bundled one.
GREETING = "The server is about to start."
# The help is divided at these settings.
SECTIONS = {
    "model": "the model",
    "host": "addresses and keys",
    "voices": "voices",
    "max_sessions": "many callers",
    "max_input_chars": "limits of a caller",
    "log_format": "log and end",
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each setting of the server."""
    try:
        from sled.serving.settings import ServerSettings
    except ImportError:  # `run` says what to install
        return
    section: argparse._ActionsContainer = parser
    for name, setting in ServerSettings.model_fields.items():
        if name in SECTIONS:
            section = parser.add_argument_group(SECTIONS[name])
        default = setting.get_default(call_default_factory=True)
        help_text = setting.description or ""
        if default not in (None, [], False):
            help_text += f" (default: {default})"
        flag = f"--{name}"
        if isinstance(default, bool):
            section.add_argument(flag, action="store_true", default=None, help=help_text)
        elif isinstance(default, list):
            section.add_argument(flag, nargs="+", metavar=name.upper(), help=help_text)
        else:
            section.add_argument(flag, help=help_text)


def run(args: argparse.Namespace) -> int:
    """Serve until the process is told to stop.

    Returns:
        The exit status.

    Raises:
        ValueError: If a setting is wrong, or the extra is not installed.
    """
    try:
        from sled.files.allocator import keep_one_arena
        from sled.serving.app import make_app
        from sled.serving.listening import listen, uvicorn_config
        from sled.serving.logs import configure_logging
        from sled.serving.settings import ServerSettings, load_settings
    except ImportError as error:
        raise ValueError(
            f"serving needs {error.name}, which is missing: run {install_command('serve')}"
        ) from error
    names = ServerSettings.model_fields
    flags = {name: value for name in names if (value := getattr(args, name)) is not None}
    settings = load_settings(**flags)
    if settings.wyoming_port is not None:
        try:
            import wyoming  # noqa: F401
        except ImportError as error:
            raise ValueError(
                f"--wyoming_port needs {error.name}, which is missing: run "
                f"{install_command('wyoming')}"
            ) from error
    keep_one_arena()
    server = make_server(settings)
    configure_logging(settings.log_format)
    listen(uvicorn_config(make_app(server), settings), server)
    return 0 if server.failure is None else 1


def make_server(settings: ServerSettings) -> Server:
    """The server of a model, which is loaded when the server starts.

    Args:
        settings: The settings of the server.
    """
    from sled.bundled import DEFAULT_MODEL, bundled_model
    from sled.cli.device import choose_device
    from sled.serving.server import Server
    from sled.serving.service import SpeechService
    from sled.tts import TTS

    bundled = bundled_model(settings.model)
    greeting = GREETING if bundled is None else bundled.example
    name = DEFAULT_MODEL if settings.model is None else Path(settings.model).name

    def load() -> SpeechService:
        device = choose_device(settings.device)
        tts = TTS.from_pretrained(
            settings.model, codec=settings.codec, device=device, dtype=settings.dtype
        )
        return SpeechService(tts, name, settings)

    return Server(settings, load, greeting, name)
