"""Tables as features: views, definitions, as-of joins, snapshots and news vectors."""
