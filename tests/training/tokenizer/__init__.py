"""Tests of training speech tokenizers."""
