"""What the organisation requires, and proof of it: the Organisation page."""
