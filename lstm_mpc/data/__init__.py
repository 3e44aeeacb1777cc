"""From logs and experiments to a `Dataset`.

Excitation (`Mprs`, `Steps`), records (`Record`) and their `Scaling`; raw logs
are read (`read_log`), prepared (`prepare_log`) and looked at (`look`).
"""
