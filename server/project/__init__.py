"""What a LEAN project says about its own data, read without running it."""

from server.project.parameters import PARAMETERS_FILE, ProjectParameters, read_project_parameters

__all__ = ["PARAMETERS_FILE", "ProjectParameters", "read_project_parameters"]
