"""Reports of a result: the best set in words, and figures."""
