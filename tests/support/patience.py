"""How long tests wait for what must happen. It ends tests that hang; no test measures speed by it."""

from __future__ import annotations

PATIENCE = 25.0
"""Seconds: many times longer than anything takes on a busy machine, and shorter than what hangs on purpose in tests and
than the client's read timeout of 30 s, so that a cancel without effect is noticed."""
