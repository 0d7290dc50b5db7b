"""Corpora of speech tokens in the published forms: Kaldi folders, tables, Parquet, and batches."""
