"""`python -m lstm_mpc.cli`."""

from lstm_mpc.cli.command_line import main

raise SystemExit(main())
