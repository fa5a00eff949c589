"""Market data through `lean data download`, the legacy path, run into a staging folder."""
