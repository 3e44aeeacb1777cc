"""Pictures of data, models, claims and loops.

Functions such as `plot_loop` take nouns and return a matplotlib figure; `save` writes it, `svg`
draws it into a page, a `Window` shows a running loop.
"""
