"""Evaluation: systems speak a test set, judges score the speech, reports list the scores."""
