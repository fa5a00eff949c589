"""Benchmarks of downloads against other ways to get the same bars: ``python -m benchmarks`` from a checkout."""
