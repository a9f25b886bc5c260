"""A connector: registers, connects again when the node goes away, and repeats what the node has not taken yet."""

import concurrent.futures
import dataclasses
import logging
import pathlib
import threading
import time

import grpc

from . import wire
from .pauses import Pauses

log = logging.getLogger("surety_connector")

MAX_MESSAGE = 1 << 20
_FOR_GOOD = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNIMPLEMENTED)
_UNREADABLE = (
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INVALID_ARGUMENT,
)
_AGAIN = (wire.Refusal.CODE_BUSY, wire.Refusal.CODE_INTERNAL)


class Refused(Exception):
    """The node refuses the connector; trying again doesn't help."""


class EmitRefused(Exception):
    """The node refuses an event; emitting it again doesn't help. `code` is one of wire.Refusal's."""

    def __init__(self, code, message):
        super().__init__(f"{wire.Refusal.Code.Name(code)}: {message}")
        self.code = code


class Failure(Exception):
    """Raised by a task that can't be done; `retry` says whether doing it again a little later may help."""

    def __init__(self, message, retry=False):
        super().__init__(message)
        self.retry = retry


@dataclasses.dataclass(frozen=True)
class Job:
    """A task to be done or validated. `task` is the key under which it is done once."""

    task: str
    attempt: int
    name: str
    inputs: dict
    deadline_ms: int


class Connector:
    def __init__(self, node, token_file, service, connector, concurrency=16, pause=0.2):
        self._target = node.removeprefix("http://")
        token = pathlib.Path(token_file).read_text().strip()
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._registration = wire.RegisterRequest(service=service, connector=connector)
        self._execute, self._validate = {}, {}
        self._identities = []
        self._pause = pause
        self._pool = concurrent.futures.ThreadPoolExecutor(concurrency)
        self._room = threading.Semaphore(concurrency)
        self._condition = threading.Condition()
        self._session = None  # (stub, id) while there is one
        self._running, self._ended, self._why = set(), False, None
        self._call = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def event(self, name):
        """Serves this event."""
        self._registration.events.add(name=name)

    def identity(self, event, field):
        """Serves only if the manifest's id of that event includes this field: it is what tells this connector's apart."""
        self._identities.append((event, field))

    def task(self, name):
        """Serves this task; decorates `def work(job): return output`."""

        def decorate(work):
            self._execute[name] = work
            self._registration.tasks.add(name=name)
            return work

        return decorate

    def validator(self, name):
        """Decorates `def check(job, output): return VALID`, or INVALID, or UNKNOWN, or one of them and a reason."""

        def decorate(check):
            self._validate[name] = check
            return check

        return decorate

    def start(self):
        self._thread.start()

    def wait(self):
        """Returns when the connector is stopped; raises Refused if the node refuses it."""
        self._thread.join()
        if self._why:
            raise Refused(self._why)

    def stop(self):
        with self._condition:
            self._ended = True
            self._condition.notify_all()
            if self._call is not None:
                self._call.cancel()

    def emit(self, event, data):
        """Tells the node of an event; returns its key once the node has recorded it, over however many connections."""
        request = wire.EmitRequest(event=event, data=wire.to_struct(data))
        response = self._insist(lambda stub: stub.emit, request, lambda found: found.refused)
        if response is None:
            raise Refused(self._why or "the connector has ended")
        if response.WhichOneof("outcome") == "refused":
            raise EmitRefused(response.refused.code, response.refused.message)
        return response.accepted

    def _insist(self, call, request, refusal, deadline_ms=None):
        """Sends until it is taken or refused, the time is over or the connector has ended (then None)."""
        pause = self._pause
        while True:
            with self._condition:
                left = None if deadline_ms is None else deadline_ms / 1000 - time.time()
                # A connector without a deadline is given one that waiting can count to.
                there = self._condition.wait_for(
                    lambda: self._session or self._ended, None if left is None else min(max(left, 0), 3600)
                )
                if self._ended or (left is not None and left <= 0):
                    return None
                if not there:
                    continue
                stub, session = self._session
            request.session = session
            try:
                response = call(stub)(request, metadata=self._metadata, timeout=30)
                if refusal(response).code not in _AGAIN:
                    return response
                log.warning("not recorded: %s; sending it again", refusal(response).message)
            except grpc.RpcError as error:
                if error.code() in _UNREADABLE:
                    raise EmitRefused(wire.Refusal.CODE_INVALID, error.details()) from error
                log.warning("%s: %s; sending it again", error.code(), error.details())
            time.sleep(pause)
            pause = min(2 * pause, 30 * self._pause)

    def _run(self):
        pauses = Pauses(self._pause)
        options = [("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.max_send_message_length", MAX_MESSAGE)]
        while not self._ended:
            with grpc.insecure_channel(self._target, options=options) as channel:
                pause = self._connected(channel, pauses)
                # The channel is closed only now: answers on their way fail, and go out over the next one.
            with self._condition:
                self._condition.wait_for(lambda: self._ended, pause)

    def _connected(self, channel, pauses):
        """One registration, until it ends; how long to wait before the next one."""
        try:
            stub = wire.Stub(channel)
            registered = stub.register(self._registration, metadata=self._metadata, timeout=10)
        except grpc.RpcError as error:
            if error.code() in _FOR_GOOD:
                self._end(f"{error.code()}: {error.details()}")
            log.warning("%s: %s", error.code(), error.details())
            return pauses.absent()
        # Before the session is anybody's, so that nothing is emitted.
        ids = {event.name: list(event.id) for event in registered.events}
        for event, field in self._identities:
            if field not in ids.get(event, []):
                found = ", ".join(ids.get(event, []))
                self._end(f"event {event}: found the id [{found}] in the manifest, expected one that includes `{field}`")
                return 0
        try:
            call = stub.tasks(wire.TasksRequest(session=registered.session), metadata=self._metadata)
            with self._condition:
                self._session, self._call = (stub, registered.session), call
                if self._ended:
                    call.cancel()
                self._condition.notify_all()
            while True:
                # Not read before there is room: the node keeps what is not read.
                self._room.acquire()
                try:
                    assignment = next(call)
                except BaseException:
                    self._room.release()
                    raise
                self._take(assignment)
        except StopIteration:
            return pauses.lost()
        except grpc.RpcError as error:
            log.warning("%s: %s", error.code(), error.details())
            if error.code() != grpc.StatusCode.FAILED_PRECONDITION:
                return pauses.lost()
            if pauses.first_rival():
                log.error(
                    "another process has registered as %s: two of one name end each other's sessions in turn. "
                    "Stop one, or give each its own name",
                    self._registration.connector,
                )
            return pauses.taken_over()
        finally:
            with self._condition:
                self._session = None

    def _end(self, why):
        self._why = why
        self.stop()

    def _take(self, assignment):
        key = (assignment.task, assignment.attempt)
        with self._condition:
            if key in self._running:  # still at it since before the connection was lost
                self._room.release()
                return
            self._running.add(key)
        self._pool.submit(self._work, key, assignment)

    def _work(self, key, assignment):
        try:
            request = wire.SubmitRequest(task=assignment.task, attempt=assignment.attempt)
            try:
                self._answer(request, assignment)
            finally:
                # Before the answer goes out: the node may assign the same again as soon as it has it.
                with self._condition:
                    self._running.discard(key)
            response = self._insist(lambda stub: stub.submit, request, lambda it: it.refused, assignment.deadline_ms)
            if response is not None and response.HasField("refused"):
                log.warning("task %s: %s", assignment.task, response.refused.message)
        except Exception:  # pylint: disable=broad-except
            log.exception("task %s was not answered", assignment.task)
        finally:
            self._room.release()

    def _answer(self, request, assignment):
        try:
            inputs = wire.from_struct(assignment.inputs)
            job = Job(assignment.task, assignment.attempt, assignment.name, inputs, assignment.deadline_ms)
            if assignment.kind == wire.Assignment.KIND_EXECUTE and job.name in self._execute:
                request.output.CopyFrom(wire.to_struct(self._execute[job.name](job)))
            elif assignment.kind == wire.Assignment.KIND_VALIDATE and job.name in self._validate:
                answer = self._validate[job.name](job, wire.from_struct(assignment.output))
                answer, reason = answer if isinstance(answer, tuple) else (answer, "")
                request.verdict.answer, request.verdict.reason = answer, reason
            else:
                request.error.message = f"task `{job.name}` is not served so"
        except Failure as failure:
            request.error.message, request.error.retry = str(failure), failure.retry
        except Exception as error:  # pylint: disable=broad-except
            log.exception("task %s", assignment.task)
            request.error.message = f"{type(error).__name__}: {error}"
