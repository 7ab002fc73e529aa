"""The domain: nouns, ports, costs, risk, ledger, execution, strategy, learners, sentiment, backtest, adapters.

Knows no Dagster and no BentoML. Import concrete submodules directly.
"""
