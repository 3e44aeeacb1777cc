"""A record of what may be claimed."""

from __future__ import annotations

from lstm_mpc.io.artefact_file import Artefact
from lstm_mpc.io.display import Displayed


class Evidence(Artefact, Displayed):
    """What may be claimed of a model or a loop, in a file of its own."""
