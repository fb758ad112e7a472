"""Files the user gives us: read in a confined child, kept as text with places, found again, quoted."""
