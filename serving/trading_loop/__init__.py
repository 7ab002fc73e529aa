"""The trading loop: replays or follows bars, decides, orders, fills, and writes all of it down."""
