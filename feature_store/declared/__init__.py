"""Python definitions under the leak gate: every function here with a decorator of `trading.leaks` is judged before training.

A file of your own in this folder is under it too (docs/leak-gate.md). One module per subject; import them directly.
"""
