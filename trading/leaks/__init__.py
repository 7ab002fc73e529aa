"""The leak gate's pure part: recompute on inputs without the future, and with another future; nothing past may change.

A definition is put under the gate by one line, a decorator of `trading.leaks.declaring`. What it is given is a
`World`: bars, actions, news, membership and sessions, each row with the moment it became known. Nothing here reads a
database; SQL definitions are judged by feature_store/leaks.
"""

from trading.leaks.declaring import feature, label, normalisation, series, split, strategy
from trading.leaks.world import World

__all__ = ["World", "feature", "label", "normalisation", "series", "split", "strategy"]
