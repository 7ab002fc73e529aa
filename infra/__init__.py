"""How Tradeloom runs: embedded engines, migrations, container and cluster files. Knows nothing of the product above it."""
