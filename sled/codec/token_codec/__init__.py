"""The codec of speech tokens: a flow makes a mel spectrogram of tokens, a vocoder makes sound."""
