"""Codes of the rules whose boundary moves with the calibration, so that a test has to search for it."""

SEARCHED = frozenset(
    {
        "ABOVE_CLAIM",
        "AUTOSCALER_TARGET",
        "BURST_REFUSED",
        "BUSY_NETWORK",
        "COLD_START",
        "CONTEXT_DOES_NOT_FIT",
        "KV_SLOTS",
        "LITTLE_HEADROOM",
        "LONGFORM_DEMAND",
        "QUEUE_WAIT",
        "READ_TIMEOUT",
        "ROLLOUT_DIP",
        "SCALE_DOWN_WINDOW",
        "SLOW_FETCH",
        "SLOW_FIRST_TOKEN",
        "SLOW_TOKENS",
        "STANDBY_SHORT",
        "WEIGHTS_DO_NOT_FIT",
    }
)
