"""Makes any network of plain layers exact: the same scores on any canvas, in any batch."""
