"""Training of speech tokenizers."""
