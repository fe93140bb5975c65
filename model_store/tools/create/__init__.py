"""New model folders, for classes of one's own."""
