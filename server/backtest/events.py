"""Converts progress events to what a job's event stream carries."""

from __future__ import annotations

from typing import Any

from server.core.events import Event
from server.core.json import to_json
from server.observability.download_log import describe_event


def event_json(event: Event) -> dict[str, Any]:
    """Convert an event to JSON's types, with its level and its text; facts that are empty or zero are left out."""
    level, text = describe_event(event)
    facts = {name: value for name, value in to_json(event).items() if value not in (None, "", 0)}
    return {**facts, "level": level, "text": text}
