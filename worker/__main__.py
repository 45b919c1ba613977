"""`python -m worker`: one worker, until SIGTERM, which drains and exits 0."""

from runtime import early

if __name__ == "__main__":
    early.leave_on_signals()

from runtime.process import start
from runtime.settings import WorkerSettings
from worker.entrypoints.worker import serve

if __name__ == "__main__":
    start("worker", WorkerSettings, serve)
