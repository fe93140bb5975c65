"""Models, one folder each; `tools/` holds what creates, trains, checks and packs them."""
