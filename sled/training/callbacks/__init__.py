"""What is measured and shown during training."""
