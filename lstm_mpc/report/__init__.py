"""The design report: sections, page, comparison.

A `Dossier` is what was read of a design; sections are blocks such as `Table` and `Picture`, which
`report` and `compare` write as one page.
"""
