"""What runs June and the servers it needs; no part of June imports it."""
