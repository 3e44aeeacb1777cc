"""The design report and the comparison of two designs: one self-contained HTML page each."""
