"""Published checkpoints in, model folders out."""
