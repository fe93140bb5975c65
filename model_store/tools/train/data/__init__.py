"""Labelled photos in, training examples out: split, sampling, crops, augmentation, prefetching."""
