"""`make bench`: how fast June is, as ratios to yardsticks that run beside it, on the same machine and broker."""
