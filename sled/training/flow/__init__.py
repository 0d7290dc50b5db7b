"""Training of flows, and of flows that need fewer steps."""
