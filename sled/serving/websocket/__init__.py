"""Speech over a WebSocket, for text that is still being written."""
