"""Building of C# projects: the arguments of dotnet, and its errors."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from server.core.errors import ToolFailedError, ToolMissingError
from server.core.subprocess_runner import CommandOutcome
from server.engines.lean_build import assembly_name, build_arguments, build_failure, compiler_error

PROJECT = Path("/projects/Shop/Shop.csproj")


def test_nothing_is_written_into_the_project() -> None:
    """Output and intermediate files go to the run; in a property of MSBuild a semicolon is escaped."""
    arguments = build_arguments(PurePosixPath("/p/S.csproj"), PurePosixPath("/run/build"), PurePosixPath("/a;b,c%"))

    assert arguments[:4] == ("build", "/p/S.csproj", "-o", "/run/build")
    assert "-p:ArtifactsPath=/a%3Bb%2Cc%25" in arguments


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<Project/>", "Shop"),
        ("<Project><PropertyGroup><AssemblyName> Other.Name </AssemblyName></PropertyGroup></Project>", "Other.Name"),
        ("<AssemblyName>$(MSBuildProjectName)</AssemblyName>", "Shop"),
    ],
)
def test_the_name_of_the_dll(tmp_path: Path, text: str, expected: str) -> None:
    """That of the file, unless the project has a literal one."""
    (tmp_path / "Shop.csproj").write_text(text, "utf-8")

    assert assembly_name(tmp_path / "Shop.csproj") == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "/projects/Shop/Main.cs(12,9): error CS0103: The name 'x' does not exist in the current context "
            "[/work/Shop/Shop.csproj]",
            "CS0103: The name 'x' does not exist in the current context (Main.cs, line 12)",
        ),
        (
            "C:\\work\\Shop\\Main.cs(3,1): error CS1002: ; expected [C:\\work\\Shop\\Shop.csproj]",
            "CS1002: ; expected (Main.cs, line 3)",
        ),
        (
            "/projects/Shop/Shop.csproj : error NU1101: Unable to find package Foo. No packages exist",
            "NU1101: Unable to find package Foo. No packages exist (Shop.csproj)",
        ),
        (
            "MSBUILD : error MSB1009: Project file does not exist.",
            "MSB1009: Project file does not exist. (MSBUILD)",
        ),
        ("/work/Main.cs(1,1): warning CS0168: The variable 'error' is declared", None),
        ("Build succeeded.", None),
    ],
)
def test_the_first_error_of_the_compiler(line: str, expected: str | None) -> None:
    """With its file and line; warnings are no errors."""
    assert compiler_error(["  Determining projects to restore...", line, line]) == expected


@pytest.mark.parametrize(
    ("outcome", "kind", "text"),
    [
        (
            CommandOutcome(exit_code=1, lines=("/work/Main.cs(12,9): error CS0103: oh [/x]",)),
            ToolFailedError,
            "Shop.csproj does not compile: CS0103: oh (Main.cs, line 12)",
        ),
        (CommandOutcome(exit_code=3, lines=("odd",)), ToolFailedError, "does not compile: exit code 3: odd"),
        (CommandOutcome(exit_code=-9, timed_out=True), ToolFailedError, "was stopped: it had not ended after 60 s"),
        (CommandOutcome(exit_code=145, lines=("No .NET SDKs were found.",)), ToolMissingError, "without the .NET SDK"),
    ],
)
def test_a_build_that_fails(outcome: CommandOutcome, kind: type[Exception], text: str) -> None:
    """One line, with the reason."""
    error = build_failure(outcome, PROJECT, 60)

    assert type(error) is kind
    assert text in str(error)
