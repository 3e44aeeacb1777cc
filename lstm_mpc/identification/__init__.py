"""From a `Dataset` to a `Model`.

`identify` trains from several starts, by a `Program` with stability as a constraint, and returns
an `Identification`; `compare_orders` chooses the cells, `validate` judges on other data.
"""
