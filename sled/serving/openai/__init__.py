"""OpenAI's API over HTTP: speech, models and voices."""
