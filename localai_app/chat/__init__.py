"""Conversations: what is said, kept and found again."""
