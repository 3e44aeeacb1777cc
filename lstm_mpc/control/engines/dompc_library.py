"""The only importer of do-mpc, loaded when first used."""

from __future__ import annotations

import warnings
from typing import Any


def do_mpc() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # do-mpc warns of its optional extras
        import do_mpc
    return do_mpc
