"""Checkpoints of a run: saving, averaging, growing, adapters."""
