"""A server with a tiny model."""

from tests.serving.conftest import served as served
