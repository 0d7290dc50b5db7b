"""Corpora: manifests, cached codes, training samples and the batches they form."""
