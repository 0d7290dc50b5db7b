"""Lets the local network know of the server, so that Home Assistant offers it by itself."""

from __future__ import annotations

import asyncio
import logging
import socket

logger = logging.getLogger(__name__)

SERVICE = "_wyoming._tcp.local."
ANY = ("0.0.0.0", "::")
# The longest part of a name in DNS is 63 bytes; this leaves room for the port.
MAX_HOST_CHARS = 48


class Announcement:
    """A service that is announced with zeroconf, if that package is installed.

    Args:
        host: The address that the server listens at.
        port: Its port.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Its name in the network."""
        host = socket.gethostname().partition(".")[0][:MAX_HOST_CHARS]
        return f"sled-{host}-{self._port}.{SERVICE}"

    def start(self) -> None:
        """Announce the server until `stop`. Failures are logged."""
        self._task = asyncio.create_task(self._announce())

    async def stop(self) -> None:
        """Take the announcement back."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _announce(self) -> None:
        try:
            import ifaddr
            from zeroconf import Error
            from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf
        except ImportError:
            logger.info("zeroconf is not installed: clients need the address of the server")
            return
        addresses = [self._host]
        if self._host in ANY:
            found = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
            addresses = [str(one) for one in found if not str(one).startswith("127.")]
        try:
            service = AsyncServiceInfo(
                SERVICE, self.name, parsed_addresses=addresses, port=self._port
            )
            network = AsyncZeroconf(interfaces=addresses)
        except (OSError, Error) as error:
            logger.warning("the server is not announced in the network: %s", error)
            return
        try:
            # It takes a second to see that nobody has the name.
            await network.async_register_service(service, allow_name_change=True)
            await asyncio.Event().wait()
        except (OSError, Error) as error:
            logger.warning("the server is not announced in the network: %s", error)
        finally:
            await network.async_close()  # says that the service is gone
