"""Text in as it is written, speech out as it is made."""
