"""Infrastructure that belongs to no domain: errors, cancellation, events, secrets, text, subprocesses, SQLite files."""
