"""Tests of speech tokenizers."""
