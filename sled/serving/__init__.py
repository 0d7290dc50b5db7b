"""The server: many callers, one model, and the wire formats that their clients know."""
