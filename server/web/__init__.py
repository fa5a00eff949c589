"""The server that people look at: HTTP API, pages, live events. It wires no second path to data or engines."""
