"""Records of what may be claimed, each tied by digest to the model it speaks of.

Every claim is of one kind: *proved* (algebra on the weights), *sampled* (a confidence 1−β on a
probability ε) or *measured* (a run)."""

from typing import TYPE_CHECKING

from lstm_mpc.io.lazy_names import lazy_names

if TYPE_CHECKING:
    from lstm_mpc.certificates.evidence.certificate import (
        Certificate as Certificate,
        Inequality as Inequality,
        Judged as Judged,
        Single as Single,
    )
    from lstm_mpc.certificates.evidence.claim import Evidence as Evidence
    from lstm_mpc.certificates.evidence.error_tube import ErrorTube as ErrorTube
    from lstm_mpc.certificates.evidence.loop_verification import (
        VERIFY_LOOP as VERIFY_LOOP,
        LoopPerformance as LoopPerformance,
        LoopVerification as LoopVerification,
        Performance as Performance,
        PlantBound as PlantBound,
    )
    from lstm_mpc.certificates.evidence.tubes import Tube as Tube, Tubes as Tubes
    from lstm_mpc.certificates.evidence.validation import Validation as Validation
    from lstm_mpc.certificates.evidence.verification import (
        VERIFY as VERIFY,
        Bound as Bound,
        Verification as Verification,
    )

__getattr__, __dir__, __all__ = lazy_names(__name__)
