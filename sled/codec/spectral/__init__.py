"""A codec of continuous latents: log-mel encoder, and a decoder that draws a spectrogram."""
