"""Wiring only: Dagster definitions, resources, jobs, schedules, sensors, and the command line.

May import everything; nothing imports it. Import concrete submodules directly.
"""
