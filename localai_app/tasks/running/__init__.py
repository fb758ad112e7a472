"""Runs: the documents of one side by side, kept step by step."""
