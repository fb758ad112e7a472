"""Benchmarks: `make bench`. Each compares with its rival in the same run and never gates CI."""
