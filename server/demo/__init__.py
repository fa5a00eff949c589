"""Recorded answers of the vendor for the command `demo`."""
