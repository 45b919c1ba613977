"""RabbitMQ's side of the worker: partitions and commands in, messages and replies out. Knows no other adapter."""
