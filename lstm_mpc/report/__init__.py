"""The design report: sections, page, comparison.

A `Dossier` is what was read of a design; sections are blocks such as `Table` and `Picture`, which
`report` and `compare` write as one page.
"""

from typing import TYPE_CHECKING

from lstm_mpc.io.lazy_names import lazy_names

if TYPE_CHECKING:
    from lstm_mpc.report.dossier import Dossier as Dossier
    from lstm_mpc.report.reading import read as read
    from lstm_mpc.report.write import (
        Comparison as Comparison,
        Report as Report,
        compare as compare,
        report as report,
    )

__getattr__, __dir__, __all__ = lazy_names(__name__)
