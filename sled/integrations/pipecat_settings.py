"""Settings of the voice for Pipecat, and errors of the server as Pipecat knows them."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipecat.services.settings import TTSSettings
from pipecat.utils.errors import ErrorCategory
from pipecat.utils.types import NOT_GIVEN, NotGiven

from sled.integrations.wire import Failure


@dataclass
class SledTTSSettings(TTSSettings):
    """Settings that can be changed between two utterances; None is the server's choice.

    Parameters:
        speed: Factor by which speech is faster, 0.25 to 4.
        seed: The same seed says the same text in the same way.
        temperature: Scale of the noise.
        cfg: Guidance scale.
    """

    speed: float | None | NotGiven = field(default_factory=lambda: NOT_GIVEN)
    seed: int | None | NotGiven = field(default_factory=lambda: NOT_GIVEN)
    temperature: float | None | NotGiven = field(default_factory=lambda: NOT_GIVEN)
    cfg: float | None | NotGiven = field(default_factory=lambda: NOT_GIVEN)


class RefusedError(Exception):
    """The server has refused the settings.

    Args:
        failure: Its answer.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def category_of(failure: Failure) -> ErrorCategory:
    """What kind of error it is; after some, the framework gives the service up."""
    if failure.busy:
        return ErrorCategory.RATE_LIMIT
    return ErrorCategory.SERVER if failure.broken else ErrorCategory.INVALID_REQUEST
