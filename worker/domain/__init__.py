"""Pure decisions: `decide(state, fact, now, policy) → (state, effects)`.

Nothing here awaits, reads a clock or knows a vendor.
"""
