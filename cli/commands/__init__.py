"""The commands, a module each: `register(app, world)` adds them to an app."""
