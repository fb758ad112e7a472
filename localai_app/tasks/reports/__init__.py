"""What came of a run, as files for people."""
