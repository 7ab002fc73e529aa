"""The pages of the indicators: what each one says, how it is computed, who invented it, and how it looks.

Words are in words.py and words_extended.py, one entry per page; columns, units and first values come from the registry,
the curves from the definition's own SQL on the sample's bars (plot.py).
"""
