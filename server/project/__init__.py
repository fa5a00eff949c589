"""Symbols, resolution and dates of a LEAN project, read without running its files."""

from server.project.parameters import PARAMETERS_FILE, ProjectParameters, read_project_parameters

__all__ = ["PARAMETERS_FILE", "ProjectParameters", "read_project_parameters"]
