"""Speech tokenizers: from recordings to the speech tokens that language models write."""
