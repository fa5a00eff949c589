"""The command line. Commands parse, call and print; they import what they need when they run."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Sequence

import click

from server import __version__
from server.cli.backtest import backtest
from server.cli.bars import bars
from server.cli.coverage import coverage
from server.cli.demo import demo
from server.cli.download import download
from server.cli.engines import engines
from server.cli.factor_files import factor_files
from server.cli.lean import lean
from server.cli.providers import providers
from server.cli.results import results
from server.cli.serve import serve
from server.cli.symbols import InvalidSymbols
from server.cli.verify import verify

FAILURE, BAD_USE, INTERRUPTED = 1, 2, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="backtest-server")
def cli() -> None:
    """Run backtests on QuantConnect LEAN and download only the market data that is missing."""
    _check_clock()


def _check_clock() -> None:
    """Raise where the clock is so far behind that there is no trading day before it.

    Raises:
        ClockError: It is before 1998-01-06, when two sessions of the calendar had ended.
    """
    from server.core.errors import ClockError

    now = time.gmtime()
    if now[:3] < (1998, 1, 6):
        raise ClockError(f"the system clock says {time.strftime('%Y-%m-%d %H:%M', now)} UTC; set it, and run again")


for command in (
    *(download, backtest, factor_files, coverage, bars, verify, results),
    *(providers, engines, lean, serve, demo),
):
    cli.add_command(command)


def main(
    arguments: Sequence[str] | None = None, *, command: click.Command = cli, program: str = "backtest-server"
) -> None:
    """Run a command and end the process.

    Exit codes: 0 when every requested day is present or known to be empty, 1 for a failure, 2 for wrong usage, 130
    when it was interrupted. An error is one line on stderr; `--debug` shows the traceback as well.

    Args:
        arguments: The arguments; None takes those of the process.
        command: The command to run.
        program: The name of the program in its help and messages.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # where the terminal's encoding lacks a character
    code = _run(command, program, arguments, debug="--debug" in arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _run(command: click.Command, program: str, arguments: Sequence[str], *, debug: bool) -> int:
    from server.core.errors import BacktestServerError, Cancelled, ConfigurationError

    try:
        return int(command.main(args=list(arguments), prog_name=program, standalone_mode=False) or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return BAD_USE
    except InvalidSymbols as error:
        for cause in error.causes:
            _print_exception(cause, error, debug)
            debug = False  # one traceback for all
        return BAD_USE
    except click.ClickException as error:
        hint = f" (see {error.ctx.command_path} --help)" if isinstance(error, click.UsageError) and error.ctx else ""
        _print_exception(f"{error.format_message()}{hint}", error, debug)
        return BAD_USE
    except (click.Abort, KeyboardInterrupt, Cancelled) as error:
        _print_exception(str(error) or "stopped", error, debug)
        return INTERRUPTED
    except BacktestServerError as error:
        _print_exception(str(error), error, debug)
        return BAD_USE if isinstance(error, ConfigurationError) else FAILURE
    except BrokenPipeError:
        return FAILURE
    except Exception as error:
        _print_exception(
            f"unexpected: {type(error).__name__}: {error} (run with --debug for the traceback, and report it)",
            error,
            debug,
        )
        return FAILURE


def _print_exception(message: str, error: BaseException, debug: bool) -> None:
    """Print an error on one line, and its traceback for --debug."""
    from server.observability import mask
    from server.terminal.messages import print_error

    if debug:
        import traceback

        print(mask("".join(traceback.format_exception(error))), file=sys.stderr, end="")
    print_error(message)
