"""`python -m server` and the command `backtest-server`."""

from server.cli import main

if __name__ == "__main__":
    main()
