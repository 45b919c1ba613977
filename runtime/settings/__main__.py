"""`python -m runtime.settings` prints the page of all settings."""

import sys

from runtime.settings.page import render

sys.stdout.write(render())
