"""Benchmarks: this project's downloader against other ways to get the same bars, measured and kept."""
