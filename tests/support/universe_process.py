"""Universe files made consistent by a process of its own: ``python -m tests.support.universe_process FOLDER``.

The notices are printed, one line each.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start(folder: Path) -> subprocess.Popen[str]:
    """Begin in another process, with all days."""
    command = [sys.executable, "-W", "error", "-m", "tests.support.universe_process", str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def main() -> None:
    """Make the universe files of a folder consistent."""
    from server.core.cancel import CancelToken
    from server.corporate_actions.universe_consistency import make_universe_files_consistent
    from server.data_download.data_folder import DataFolder
    from tests.support.harness import calendar

    with closing(DataFolder.open(Path(sys.argv[1]), calendar())) as folder:
        for notice in make_universe_files_consistent(folder, date.min, date.max, cancel=CancelToken()):
            print(notice)


if __name__ == "__main__":
    main()
