"""Why a fill or a decision is what it is, and the same decision again: reads everything, changes nothing."""
