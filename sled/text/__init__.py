"""Tokens and segments of text, also of text that is still growing."""
