"""`sled cache`: what is computed once for a corpus, and read in every epoch of training."""
