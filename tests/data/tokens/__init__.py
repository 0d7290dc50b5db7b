"""Tests of corpora of speech tokens."""
