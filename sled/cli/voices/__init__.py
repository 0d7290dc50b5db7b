"""`sled voices`: voices, prepared once for reuse."""
