"""The command line `lstm-mpc`: the only place with prose and exit codes.

A verb is a `Command`; its answer to the terminal is an `Answer`, in the words of this room.
"""

from lstm_mpc.cli.command_line import main

__all__ = ["main"]
