"""Choosing the model that answers."""
