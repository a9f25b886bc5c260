"""Connectors for Surety nodes (docs/guides/connectors.md).

    connector = Connector("http://127.0.0.1:50051", "node.token", "greeter", "greeter-python")

    @connector.task("greet")
    def greet(job): return {"greeting": "Hello"}

    @connector.validator("greet")
    def check(job, output): return VALID

    connector.event("visited")
    connector.start()
    connector.emit("visited", {"number": 1, "visitor": "Ada"})
    connector.wait()
"""

from .connector import Connector, EmitRefused, Failure, Job, Refused
from .wire import INVALID, UNKNOWN, VALID

__all__ = ["Connector", "EmitRefused", "Failure", "INVALID", "Job", "Refused", "UNKNOWN", "VALID"]
