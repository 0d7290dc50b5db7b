"""Speaker encoders: from recordings to vectors that tell whose voice it is."""
