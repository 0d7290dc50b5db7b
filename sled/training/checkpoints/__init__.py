"""Checkpoints: saving, averaging, growing, adapters, and the moving average of weights (EMA)."""
