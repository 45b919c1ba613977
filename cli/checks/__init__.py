"""What `june doctor` looks at, a module for each server or place. Each check ends by itself, whatever is broken."""
