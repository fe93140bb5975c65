"""The way of an image through the gateway: read, admit, dispatch, render."""
