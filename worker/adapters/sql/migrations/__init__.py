"""The history of the tables; each version is written once and never changed after a release."""
