"""Corpora, and training samples made of them."""
