"""The command line `lstm-mpc`: the only place with prose and exit codes.

A verb is a `Command`; its answer to the terminal is an `Answer`, in the words of this room.
"""

from typing import TYPE_CHECKING

from lstm_mpc.io.lazy_names import lazy_names

if TYPE_CHECKING:
    from lstm_mpc.cli.command_line import main as main

__getattr__, __dir__, __all__ = lazy_names(__name__)
