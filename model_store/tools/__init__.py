"""Tools for model folders: create, convert, train, evaluate, check, pack."""
