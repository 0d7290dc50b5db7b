"""A simulated writer and a simulated player around a session."""
