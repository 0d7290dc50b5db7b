"""Tokens of text, also while it is being written."""
