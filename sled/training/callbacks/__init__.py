"""Metrics and samples during training."""
