"""Masks of training sets: photos with masks in, pairs of (photo, labels) out; classes and colours."""
