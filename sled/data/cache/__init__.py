"""What is computed once per corpus and kept: codes and predictions."""
