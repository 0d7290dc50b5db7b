"""Language models of published systems whose units are speech tokens."""
