"""Encodec, whole and as a stream."""
