"""Kinds of written items, a file for each: which rules read them, and their tables."""
