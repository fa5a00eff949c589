"""Background jobs: a queue that runs a limited number at once, and their history in SQLite."""

from server.jobs.queue import JobQueue
from server.jobs.store import Job, JobEvent, JobState, JobStore

__all__ = ["Job", "JobEvent", "JobQueue", "JobState", "JobStore"]
