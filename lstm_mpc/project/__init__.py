"""A design directory: its `design.toml`, its artefacts and its steps.

`load_design` reads a `Design`; the steps go from one artefact to the next, each a function that
returns what it made; a `Directory` has them as methods, as far as the release.
"""

from typing import TYPE_CHECKING

from lstm_mpc.io.lazy_names import lazy_names

if TYPE_CHECKING:
    from lstm_mpc.project.design import Design as Design, load_design as load_design
    from lstm_mpc.project.directory import Directory as Directory

__getattr__, __dir__, __all__ = lazy_names(__name__)
