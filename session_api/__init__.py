"""The HTTP face of June's commands and events, and the live page. A request is one command and its reply."""
