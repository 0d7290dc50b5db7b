"""Voices that clients name, upload and delete, and the consents that come with them."""
