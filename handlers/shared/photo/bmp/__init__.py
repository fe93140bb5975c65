"""BMP (Windows and OS/2 bitmaps)."""
