"""Bars of charts that are not cut by the clock alone: tick, volume, dollar, range, Renko, Heikin-Ashi, and time.

`chart` says what a chart is. `machine` is the definition of every style: one small state machine that is fed a print at
a time. `chunks` is its twin over arrays and gives the same bars faster; both leave the same state. Pure: no database, no
clock; prices and sizes are whole numbers (millionths, hundred-millionths), so no sum is ever rounded. What the styles
mean and which school each follows: docs/chart-bars.md. `trading.adapters.chart_bars` keeps them in the warehouse.
Import the submodules directly.
"""
