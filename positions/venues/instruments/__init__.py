"""What a venue lists: instruments and the names of their assets."""
