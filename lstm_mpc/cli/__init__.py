"""The command line `lstm-mpc`: the only place with prose and exit codes."""

from lstm_mpc.cli.command_line import main

__all__ = ["main"]
