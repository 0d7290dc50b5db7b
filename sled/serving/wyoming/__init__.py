"""The Wyoming protocol over TCP, which Home Assistant speaks."""
