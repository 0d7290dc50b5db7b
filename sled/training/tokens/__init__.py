"""Training of language models of speech tokens: losses, schedules, batches and checkpoints."""
