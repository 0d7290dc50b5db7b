"""`sled prepare`: corpora of any form become checked manifests."""
