"""Background jobs: a queue that runs a limited number at once, and their history in SQLite."""

from server.jobs.job import Job, JobEvent, JobState, failed_as_damaged
from server.jobs.queue import JobQueue
from server.jobs.store import JobStore

__all__ = ["Job", "JobEvent", "JobQueue", "JobState", "JobStore", "failed_as_damaged"]
