"""Market data from Polygon's (Massive's) REST aggregates."""
