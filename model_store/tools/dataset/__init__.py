"""Data sets: folders of photos and masks in, arrays, statistics and colours out."""
