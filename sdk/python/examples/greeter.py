"""A whole connector: emits one event, and does a task that leaves a file. The folder stands for whatever technology a
connector connects.

    python greeter.py http://127.0.0.1:50051 node.token FOLDER

(Try it with `cargo run -p surety-connector --example trial -- crates/surety-connector/examples/service.toml`.)
"""

import logging
import pathlib
import sys

from surety_connector import INVALID, UNKNOWN, VALID, Connector, Failure

logging.basicConfig(level=logging.INFO)
node, token_file, folder = sys.argv[1:]
connector = Connector(node, token_file, "greeter", "greeter-python")


def greeting(job):
    return f"Hello, {job.inputs['visitor']}!"


def file(job):
    # One file a task: its id is the key under which the task is done once.
    return pathlib.Path(folder) / f"{job.task}.txt"


@connector.task("greet")
def greet(job):
    try:
        # Twice the same file with the same content is once.
        file(job).write_text(greeting(job))
    except OSError as error:
        raise Failure(str(error), retry=True) from error
    return {"greeting": greeting(job)}


@connector.validator("greet")
def check(job, output):
    if output != {"greeting": greeting(job)}:
        return INVALID, "that is not the greeting"
    try:
        return VALID if file(job).read_text() == greeting(job) else (INVALID, "the file says something else")
    except FileNotFoundError:
        return INVALID, "no file"
    except OSError as error:
        return UNKNOWN, str(error)  # a folder that can't be read proves nothing


connector.event("visited")
connector.start()
print(connector.emit("visited", {"number": 1, "visitor": "Ada"}), flush=True)
connector.wait()
