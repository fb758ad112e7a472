"""The Documents page and the view of a page."""
