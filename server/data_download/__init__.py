"""From a request for trading days to LEAN's files on disk. Knows no plugin and no HTTP."""
