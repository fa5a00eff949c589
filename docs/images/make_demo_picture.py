"""Runs `backtest-server demo` in a terminal of its own and draws what it printed as demo.svg.

    .venv/bin/python docs/images/make_demo_picture.py

Nothing is made up or touched up: the terminal is a real pseudo-terminal, 88 columns wide. The picture uses the
reader's own monospaced font and loads nothing from anywhere; since few such fonts have braille, the dots of the
equity curve are drawn.
"""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

COLUMNS, LINES = 88, 90
COMMAND = (sys.executable, "-m", "server", "demo")
PICTURE = Path(__file__).with_name("demo.svg")

# rich's own frame, without the fonts that it would have fetched from the net.
FRAME = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font-family: "DejaVu Sans Mono", Menlo, Consolas, "Liberation Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: Arial, Helvetica, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
DOTS
</g>
</svg>
"""

# Where the eight dots of a braille character lie, by the bits of its number, in parts of its cell.
BRAILLE = range(0x2800, 0x2900)
DOTS = [
    (0.25, 0.125),
    (0.25, 0.375),
    (0.25, 0.625),
    (0.75, 0.125),
    (0.75, 0.375),
    (0.75, 0.625),
    (0.25, 0.875),
    (0.75, 0.875),
]
CELL_WIDTH, CELL_HEIGHT = 12.2, 24.4  # of rich's SVG


def run_in_terminal(command: tuple[str, ...]) -> str:
    """What a command prints on a terminal, with its colours; the log on stderr is left out."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    environment |= {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(LINES)}
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=subprocess.DEVNULL, env=environment)
    os.close(its)
    printed = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # Linux's way of saying that the other end is closed
            break
        if not chunk:
            break
        printed += chunk
    os.close(ours)
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(command)} ended with exit code {process.returncode}")
    return printed.decode().replace("\r\n", "\n")


def draw(printed: str) -> str:
    """The terminal as SVG."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor")
    lines = [Text("$ backtest-server demo", style="bold")]
    for line in printed.rstrip("\n").split("\n"):
        text = Text.from_ansi(line)
        lines += text.divide(range(COLUMNS, len(text), COLUMNS))  # where a terminal breaks it
    dots = []
    for row, line in enumerate(lines):
        for column, char in enumerate(line.plain):
            if ord(char) in BRAILLE:
                style = line.get_style_at_offset(console, column)
                colour = style.color.get_truecolor(SVG_EXPORT_THEME).hex if style.color else "#c5c8c6"
                dots += [_dot(row, column, *DOTS[bit], colour) for bit in range(8) if ord(char) >> bit & 1]
        line.plain = "".join(" " if ord(char) in BRAILLE else char for char in line.plain)
        console.print(line, highlight=False, no_wrap=True)
    svg = console.export_svg(title="backtest-server demo", code_format=FRAME, unique_id="demo")
    return svg.replace("DOTS", "\n".join(dots))


def _dot(row: int, column: int, x: float, y: float, colour: str) -> str:
    x, y = (column + x) * CELL_WIDTH, (row + y) * CELL_HEIGHT + 1.5
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2" fill="{colour}"/>'


if __name__ == "__main__":
    PICTURE.write_text(draw(run_in_terminal(COMMAND)), encoding="utf-8")
    print(f"wrote {PICTURE}")
