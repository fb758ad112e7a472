"""The evidence record of a run: written, signed, and checked on any computer."""
