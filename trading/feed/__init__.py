"""A live feed without its socket: the order of messages, what is missing, when a silence is a stall. Pure."""
