"""Judges of speech, and reports."""
