"""The command line as tests call it."""

from lstm_mpc.cli.command_line import main


def command(capsys, *arguments):
    """The exit code of a command, and what it printed: output and errors."""
    code = main([*map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err
