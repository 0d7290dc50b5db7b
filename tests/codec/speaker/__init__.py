"""Tests of speaker encoders."""
