"""RabbitMQ, livekit-server and PostgreSQL for development, tests and benchmarks.

Each is a context manager that yields where the server answers. For each one: the URL in the environment is
used where it is given; else a container, where a Docker engine answers; else a process of our own, installed
when it is missing. Servers of ours listen on loopback alone, on free ports, and end with the run, however it
ends.
"""

from deploy.servers.handles import NotOursError
from deploy.servers.install import InstallError
from deploy.servers.livekit_server import LiveKit, livekit
from deploy.servers.ports import free_port, free_ports
from deploy.servers.postgres_server import Postgres, postgres
from deploy.servers.processes import ServerError
from deploy.servers.progress import Progress
from deploy.servers.rabbitmq_server import VERSIONS as RABBITMQ_VERSIONS
from deploy.servers.rabbitmq_server import RabbitMQ, rabbitmq
from deploy.servers.rabbitmq_server import Version as RabbitMQVersion

__all__ = [
    "RABBITMQ_VERSIONS",
    "InstallError",
    "LiveKit",
    "NotOursError",
    "Postgres",
    "Progress",
    "RabbitMQ",
    "RabbitMQVersion",
    "ServerError",
    "free_port",
    "free_ports",
    "livekit",
    "postgres",
    "rabbitmq",
]
