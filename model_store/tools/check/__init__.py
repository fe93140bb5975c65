"""What is wrong with a model folder, and what it makes of a photo."""
