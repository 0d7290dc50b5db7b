"""Audio files, checkpoint files and digests."""
