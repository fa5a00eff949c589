"""The web server: HTTP API, pages, event streams, metrics."""
