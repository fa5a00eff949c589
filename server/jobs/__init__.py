"""Work in the background: a queue that runs a bounded number at once, and its history in SQLite."""

from server.jobs.queue import JobQueue
from server.jobs.store import Job, JobEvent, JobState, JobStore

__all__ = ["Job", "JobEvent", "JobQueue", "JobState", "JobStore"]
