"""Benchmarks: each script answers the question in its name; see README."""
