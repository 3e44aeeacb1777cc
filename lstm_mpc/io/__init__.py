"""Files, schemas and processes.

JSON artefacts with exact floats and digests, tables as dataclasses, templates, work on cores and
clusters; a `Target` is what an exporter registers.
"""

from typing import TYPE_CHECKING

from lstm_mpc.io.lazy_names import lazy_names

if TYPE_CHECKING:
    from lstm_mpc.io.artefact_file import (
        Artefact as Artefact,
        digest as digest,
        read_json as read_json,
        write_json as write_json,
    )
    from lstm_mpc.io.targets import Target as Target, Written as Written, register as register

__getattr__, __dir__, __all__ = lazy_names(__name__)
