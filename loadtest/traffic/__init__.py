"""What load tests send, and how answers are checked."""
