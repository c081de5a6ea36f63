"""What a result says: the best set in words, and pictures."""
