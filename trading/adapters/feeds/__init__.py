"""Live feeds: the vendors' websockets, the batches that their messages become, and who is woken by them."""
