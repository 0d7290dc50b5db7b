"""`sled codec`: training of codecs, and transforms of their latents."""
