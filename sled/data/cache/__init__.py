"""Data computed once per corpus and kept on disk: codec codes and model predictions."""
