"""OpenAI's API over HTTP: speech, and lists of models and voices."""
