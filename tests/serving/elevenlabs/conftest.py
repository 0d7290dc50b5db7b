"""A server whose address is an https one, with a certificate of the test."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.serving.conftest import Running, start, stop


@pytest.fixture(scope="package")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificate of an authority, and that of a server."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(folder / "authority.pem")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    return folder


@pytest.fixture(scope="package")
def secure(authority: Path) -> Iterator[Running]:
    """A server with TLS that admits everybody."""
    options = {"ssl_certfile": str(authority / "server.pem"), "timeout_graceful_shutdown": 2}
    running = start(options)  # clients that are not closed keep their connections
    yield running
    stop(running)


@pytest.fixture
def trusted(authority: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Clients trust the authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "authority.pem"))
    return ssl.create_default_context(cafile=str(authority / "authority.pem"))


@pytest.fixture(scope="package")
def guarded() -> Iterator[Running]:
    """A server that needs a key."""
    running = start(keys=["secret"])
    yield running
    stop(running)
