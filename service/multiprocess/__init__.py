"""What several gateway processes need: how many there are, and what they share."""
