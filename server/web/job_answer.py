"""A job as the API returns it."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve

from server.core.json import to_json
from server.jobs import Job, failed_as_damaged
from server.web import models
from server.web.projects import name_of
from server.web.state import State


def job_answer(server: State, job: Job) -> models.JobAnswer:
    """Convert a job; one whose stored values have another form than a job's is a failed one."""
    try:
        return _converted(server, job)
    except (TypeError, ValueError):
        return _converted(server, evolve(failed_as_damaged(job, "its values are not those of a job"), request={}))


def _converted(server: State, job: Job) -> models.JobAnswer:
    """Convert a job; its project's path becomes the project's name."""
    answer = to_json(job)
    project = answer["request"].get("project")
    if project:
        name = name_of(server.projects, Path(project))
        answer["request"] = {**answer["request"], "project": name}
        if answer["result"].get("project"):
            answer["result"] = {**answer["result"], "project": name}
    return models.JobAnswer(**answer)
