"""One module per command of `tradeloom`; orchestration/cli.py imports each when it is called."""
