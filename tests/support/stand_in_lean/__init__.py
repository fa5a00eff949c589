"""A stand-in for LEAN's launcher, for ``docker`` with LEAN's image and for ``lean backtest``, to run in tests.

A test installs it with `install.install_stand_in` and puts its folder ``bin`` first on the PATH. The programs are
Python scripts that use the standard library only, and pyzmq where a run is streamed. They import nothing of the
product, so that a fault there cannot hide behind the same fault here. They behave as the recorded runs of the real
engine did: configuration, console and log, results, data requests, signals, exit codes and stream.

An algorithm's ``initialize`` is executed, with LEAN's classes replaced; its ``on_data`` is not. Comments in its source
make the run do something else (see `behaviour`): ``# stand-in: slow 5``, ``# stand-in: runtime-error line 12``.
"""
