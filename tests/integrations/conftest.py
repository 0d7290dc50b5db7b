"""Servers with tiny models."""

from tests.serving.conftest import Running
from tests.serving.conftest import marked as marked
from tests.serving.conftest import served as served


def num_speaking(running: Running) -> float:
    """How many sessions speak."""
    found = running.server.registry.get_sample_value("sled_sessions", {"state": "active"})
    return found or 0.0
