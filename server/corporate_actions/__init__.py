"""Splits, dividends and renames, and the factor files and map files that LEAN reads of them."""
