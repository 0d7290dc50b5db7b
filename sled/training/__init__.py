"""Training of models and codecs."""
