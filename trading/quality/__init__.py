"""The quality gate: write-audit-publish inside the ingestion step.

Rows are staged in a frame, Great Expectations judges them there, and only what passes is published; a check that runs
after the fact gates nothing across runs (dagster#27760). `suites` says what is expected, `gate` turns the verdict into
good rows and quarantined ones. Import the submodules directly.
"""
