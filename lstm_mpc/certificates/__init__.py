"""What may be claimed of a model.

`certify` proves stability (`Certificate`), `reach` a `Tube`, `verify` samples scenarios
(`Verification`); `release` is the gate from this evidence to a `Release`.
"""

from typing import TYPE_CHECKING

from lstm_mpc.io.lazy_names import lazy_names

if TYPE_CHECKING:
    from lstm_mpc.certificates.certification import certify as certify
    from lstm_mpc.certificates.evidence import (
        Bound as Bound,
        Certificate as Certificate,
        ErrorTube as ErrorTube,
        Inequality as Inequality,
        LoopVerification as LoopVerification,
        Tube as Tube,
        Tubes as Tubes,
        Validation as Validation,
        Verification as Verification,
    )
    from lstm_mpc.certificates.gate import (
        Release as Release,
        checked as checked,
        release as release,
    )
    from lstm_mpc.certificates.policy import Policy as Policy
    from lstm_mpc.certificates.reachability import reach as reach
    from lstm_mpc.certificates.scenarios import (
        VerifyOptions as VerifyOptions,
        scenario_count as scenario_count,
        verify as verify,
    )

__getattr__, __dir__, __all__ = lazy_names(__name__)
