"""Messaging against a real RabbitMQ."""
