"""The commands: one use case each, and the one way through which all of them are answered."""
