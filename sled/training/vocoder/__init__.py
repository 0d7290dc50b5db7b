"""Training of vocoders against discriminators."""
