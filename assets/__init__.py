"""What exists, in flow order: ingestion, quality, warehouse, features, training, evaluation, promotion.

Assets stay thin: read, call one function of `trading` or `feature_store`, write, report metadata.
Logic does not live here. Import concrete submodules directly.
"""
