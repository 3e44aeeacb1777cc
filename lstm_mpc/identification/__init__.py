"""From a `Dataset` to a `Model`.

`identify` trains from several starts, by a `Program` with stability as a constraint, and returns
an `Identification`; `compare_orders` chooses the cells, `validate` judges on other data.
"""

from typing import TYPE_CHECKING

from lstm_mpc.io.lazy_names import lazy_names

if TYPE_CHECKING:
    from lstm_mpc.identification.continuation import train as train
    from lstm_mpc.identification.model_order import (
        Ordering as Ordering,
        compare_orders as compare_orders,
    )
    from lstm_mpc.identification.multistart import (
        Identification as Identification,
        identify as identify,
    )
    from lstm_mpc.identification.options import TrainingOptions as TrainingOptions
    from lstm_mpc.identification.starts import (
        SearchOptions as SearchOptions,
        TrainingCandidate as TrainingCandidate,
    )
    from lstm_mpc.identification.training import Outcome as Outcome
    from lstm_mpc.identification.validation import (
        Score as Score,
        error_tube as error_tube,
        score as score,
        validate as validate,
    )

__getattr__, __dir__, __all__ = lazy_names(__name__)
