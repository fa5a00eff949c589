"""The parameters of the project."""
