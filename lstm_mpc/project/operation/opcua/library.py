"""asyncua, loaded when it is used. Its only importer."""

from __future__ import annotations

import logging
from typing import Any

from lstm_mpc.errors import InputError


def library() -> Any:
    """The package asyncua with all that is used of it; InputError where it is not installed."""
    try:
        import asyncua
        import asyncua.common.callback
        import asyncua.crypto.permission_rules
        import asyncua.crypto.security_policies
        import asyncua.crypto.uacrypto
    except ImportError as error:
        raise InputError(
            "OPC UA needs asyncua: pip install 'lstm_mpc[operate]' brings it"
        ) from error
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # what matters is an alarm or an error
    return asyncua
