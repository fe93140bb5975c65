"""The error of everything that reads a data set; the commands print it."""


class DataError(ValueError):
    """Photos and masks that cannot be used; the message names the file and the fix."""
