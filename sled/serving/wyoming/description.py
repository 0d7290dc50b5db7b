"""What the server tells of itself over the Wyoming protocol."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from wyoming.info import Attribution, Info, TtsProgram, TtsVoice

ATTRIBUTION = Attribution("SLED", "https://arxiv.org/abs/2505.13181")
# The models that there are read English. A client offers only voices with a language.
LANGUAGES = ["en"]


def describe(voices: Sequence[str]) -> Info:
    """The description of a server with these voices."""
    try:
        ours = version("sled")
    except PackageNotFoundError:
        ours = None
    return Info(
        tts=[
            TtsProgram(
                name="sled",
                attribution=ATTRIBUTION,
                installed=True,
                description="Streaming text-to-speech",
                version=ours,
                voices=[
                    TtsVoice(
                        name=name,
                        attribution=ATTRIBUTION,
                        installed=True,
                        description=None,
                        version=None,
                        languages=LANGUAGES,
                    )
                    for name in voices
                ],
                supports_synthesize_streaming=True,
            )
        ]
    )
