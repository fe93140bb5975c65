"""Models, one folder each, and the tools around them."""
