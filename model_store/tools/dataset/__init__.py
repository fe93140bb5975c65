"""Training sets: photos with masks in, pairs of (photo, labels) out; classes and their colours."""
