"""What a training step learns from: photos and masks in, batches out."""
