"""Runs LEAN's launcher in its Docker image, without LEAN's CLI and without a login.

The paths of the config are those of the container, which are those that LEAN's CLI uses. Data, project and libraries
are mounted read-only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path, PurePosixPath

from server.core.cancel import CancelToken
from server.core.docker_command import Mount, call_docker, container_path
from server.core.errors import (
    BacktestServerError,
    Cancelled,
    ConfigurationError,
    ToolFailedError,
    ToolMissingError,
    WriteFailedError,
)
from server.core.subprocess_runner import CommandOutcome, CommandRequest, run_command
from server.engines.base import EngineProgress, EngineRequest, EngineResult
from server.engines.lean_build import BUILD_VARIABLES, assembly_name, build_arguments, build_failure, no_dll
from server.engines.lean_config import RunPaths, lean_config
from server.engines.lean_options import LeanOptions
from server.engines.lean_project import LeanProject, load_project, run_parameters
from server.engines.lean_result import lean_result
from server.engines.lean_run import (
    CONTAINER_INTERRUPT_GRACE,
    DOCKER_FAILURES,
    TERMINATE_GRACE,
    StartFailure,
    choose_stream_port,
    finished_run,
    lean_environ,
    no_market_hours,
    object_store,
    run_lean,
    start_error,
)
from server.engines.run_folder import RunFolder, create_run_folder

LAUNCHER = "/Lean/Launcher/bin/Debug"
DATA, PROJECT, RESULTS, STORAGE, LIBRARY = "/Lean/Data", "/LeanCLI", "/Results", "/Storage", "/Library"
"""The folders of the container."""

PACKAGES = "/root/.nuget/packages"
"""The folder of the container for downloaded NuGet packages, which are kept for the next build."""


class DockerEngine:
    """Runs LEAN's Docker image."""

    name = "lean-docker"

    def __init__(
        self,
        docker: Path,
        image: str,
        options: LeanOptions,
        clock: Callable[[], datetime],
        environ: Mapping[str, str],
    ) -> None:
        """Create an engine for any number of backtests.

        Args:
            docker: The program docker.
            image: The image, whose entry point is LEAN's launcher.
            options: Options of the runs.
            clock: Returns the current instant in UTC.
            environ: The environment for docker, which gets it without keys and the server's token.
        """
        self._docker = docker
        self._image = image
        self._options = options
        self._clock = clock
        self._environ = lean_environ(environ, options.secrets)

    def run(
        self,
        request: EngineRequest,
        *,
        cancel: CancelToken,
        on_line: Callable[[str], None],
        on_progress: Callable[[EngineProgress], None] = lambda progress: None,
    ) -> EngineResult:
        """Run the image to its end (see `Engine.run`)."""
        started_at = self._clock()
        project = load_project(request.project, self._options.workspace)
        parameters = run_parameters(project.parameters, request, self._options.secrets)
        port = choose_stream_port(self._options, default=True)
        if not request.data_folder.is_dir():
            raise ConfigurationError(f"there is no data folder {request.data_folder}; correct data-folder")
        folder = create_run_folder(project.folder, started_at)
        try:
            folder.prepare()
            mounts = self._mounts(request, project, folder)
            inside = partial(container_path, mounts)
            algorithm = self._algorithm(project, folder, mounts, cancel, on_line)
            paths = RunPaths(
                launcher=LAUNCHER,
                data_folder=DATA,
                results=RESULTS,
                object_store=inside(object_store(self._options, folder)),
                algorithm=inside(algorithm),
                libraries=tuple(inside(library) for library in project.libraries),
            )
            folder.write_config(
                lean_config(
                    paths,
                    run_id=folder.run_id,
                    name=project.folder.name,
                    language=project.language,
                    type_name=project.type_name,
                    parameters=parameters,
                    stream_port=port,
                )
            )
            # LEAN binds the port on all interfaces of the container; of this machine it is on the loopback only.
            published = () if port is None else ("-p", f"127.0.0.1:{port}:{port}")
            arguments = (*published, self._image, "--config", inside(folder.config))
            outcome = self._in_container(
                folder,
                (*_volumes(mounts), *arguments),
                partial(run_lean, folder=folder.path, stream_port=port, request=request, on_progress=on_progress),
                cancel,
                on_line,
            )
            run = finished_run(
                outcome,
                folder.path,
                self._clock(),
                time_limit=self._options.time_limit,
                start_failure=partial(self._start_failure, data_folder=request.data_folder),
            )
        finally:
            folder.end()
        return lean_result(request, run, engine=self.name, started_at=started_at, finished_at=self._clock())

    def _mounts(self, request: EngineRequest, project: LeanProject, folder: RunFolder) -> list[Mount]:
        """The folders of a run; the run's own comes before the project's, which contains it."""
        mounts = [
            Mount(source=folder.path, target=RESULTS, read_only=False),
            Mount(source=project.folder, target=PROJECT),
            Mount(source=request.data_folder.resolve(), target=DATA),
        ]
        store = object_store(self._options, folder)
        if store != folder.storage:
            mounts.append(Mount(source=store, target=STORAGE, read_only=False))
        # A project in C# refers to ../Library, which is /Library for one in /LeanCLI.
        library = (self._options.workspace or project.folder.parent) / "Library"
        library = library.resolve()
        if library.is_dir():
            mounts.append(Mount(source=library, target=LIBRARY))
        others = [one for one in project.libraries if not one.is_relative_to(library)]
        mounts += [Mount(source=one, target=f"/Libraries/{number}") for number, one in enumerate(others, 1)]
        return mounts

    def _algorithm(
        self,
        project: LeanProject,
        folder: RunFolder,
        mounts: list[Mount],
        cancel: CancelToken,
        on_line: Callable[[str], None],
    ) -> Path:
        """Return the Python file or the DLL, which is built in a container of the same image."""
        if project.language == "Python":
            return project.source
        arguments = build_arguments(
            PurePosixPath(container_path(mounts, project.source)),
            PurePosixPath(container_path(mounts, folder.build)),
            PurePosixPath("/tmp/artifacts"),  # noqa: S108 - in the container, which is deleted
        )
        variables = (part for name, value in BUILD_VARIABLES.items() for part in ("-e", f"{name}={value}"))
        packages = Mount(source=self._package_cache(), target=PACKAGES, read_only=False)
        start = ("--entrypoint", "dotnet", *variables, *_volumes([*mounts, packages]), self._image)
        outcome = self._in_container(folder, (*start, *arguments), run_command, cancel, on_line, "-build")
        if outcome.cancelled:
            raise Cancelled("the LEAN backtest was cancelled while its project was built")
        if not outcome:
            failure = self._start_failure(outcome, folder.path)
            if type(failure) is not ToolFailedError:
                raise failure
            raise build_failure(outcome, project.source, self._options.time_limit)
        name = f"{assembly_name(project.source)}.dll"
        if not (folder.build / name).is_file():
            raise no_dll(project.source, name)
        return folder.build / name

    def _package_cache(self) -> Path:
        """The folder for NuGet packages in the user's cache, which exists afterwards."""
        caches = self._environ.get("XDG_CACHE_HOME") or Path(self._environ.get("HOME") or Path.home()) / ".cache"
        folder = Path(caches).absolute() / "backtest-server" / "nuget"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteFailedError(f"the folder {folder} cannot be made: {error.strerror or error}") from error
        return folder

    def _in_container(
        self,
        folder: RunFolder,
        arguments: tuple[str, ...],
        run: Callable[..., CommandOutcome],
        cancel: CancelToken,
        on_line: Callable[[str], None],
        suffix: str = "",
    ) -> CommandOutcome:
        """Run a container, which does not exist afterwards."""
        name = f"backtest-server-{folder.run_id}{suffix}"
        outcome = None
        try:
            outcome = run(
                CommandRequest(
                    argv=(str(self._docker), "run", "--rm", "--pull=never", "--name", name, *arguments),
                    cwd=folder.work,
                    env=self._environ,
                    time_limit=self._options.time_limit,
                    secrets=self._options.secrets,
                    interrupt_grace=CONTAINER_INTERRUPT_GRACE,
                    terminate_grace=TERMINATE_GRACE,
                    send_signal=lambda number: self._call("kill", f"--signal={number}", name),
                ),
                cancel=cancel,
                on_line=on_line,
            )
            return outcome
        finally:
            if outcome is None or outcome.cancelled or outcome.timed_out or outcome.exit_code < 0:
                self._call("rm", "-f", name)

    def _call(self, *arguments: str) -> bool:
        return call_docker(self._docker, *arguments, environ=self._environ) is not None

    def _start_failure(self, outcome: CommandOutcome, data_folder: Path) -> BacktestServerError:
        failures = (
            *DOCKER_FAILURES,
            StartFailure(
                ("No such image", "Unable to find image", "pull access denied", "manifest unknown", "manifest for"),
                ToolMissingError,
                f"LEAN's image {self._image} is not on this machine; run: docker pull {self._image}",
            ),
            StartFailure(
                ("invalid reference format",),
                ConfigurationError,
                f"{self._image} is no name of a Docker image; correct the setting lean-engine-image",
            ),
            StartFailure(
                ("Mounts denied", "is not shared from the host"),
                ToolMissingError,
                "Docker may not read the project's or the data folder; share it in the settings of Docker Desktop",
            ),
        )
        return start_error(outcome, failures, "docker run", no_market_hours(data_folder))


def _volumes(mounts: list[Mount]) -> Iterator[str]:
    for mount in mounts:
        yield from mount.arguments
