"""The trading loop: replays or follows bars, decides, orders, fills, and writes down all of it. Import the submodules."""
