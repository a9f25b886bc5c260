"""The messages and calls of surety.connector.v1, made when this is imported from the compiled `.proto` next to this file.

There is no generated code: that would tie the SDK to one version of protobuf, and need protoc to be made again.
"""

import pathlib

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2

_files = descriptor_pb2.FileDescriptorSet.FromString(
    pathlib.Path(__file__).with_name("descriptor.bin").read_bytes()
)
_pool = descriptor_pool.Default()
for _file in _files.file:
    # google/protobuf/struct.proto is there already: struct_pb2 brings it.
    if _file.package == "surety.connector.v1":
        _pool.Add(_file)

PACKAGE = "surety.connector.v1"


def _message(name):
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


RegisterRequest = _message("RegisterRequest")
RegisterResponse = _message("RegisterResponse")
EmitRequest = _message("EmitRequest")
EmitResponse = _message("EmitResponse")
TasksRequest = _message("TasksRequest")
Assignment = _message("Assignment")
SubmitRequest = _message("SubmitRequest")
SubmitResponse = _message("SubmitResponse")
Refusal = _message("Refusal")
Verdict = _message("Verdict")

VALID = Verdict.ANSWER_VALID
INVALID = Verdict.ANSWER_INVALID
UNKNOWN = Verdict.ANSWER_UNKNOWN


def to_struct(value):
    """A Struct from a dict of None, bool, int, float, str, list, dict.

    An integer beyond 2^53 is refused: as a double it would be another one. Carry it as a decimal string.
    """
    _check(value, "")
    struct = struct_pb2.Struct()
    struct.update(value)
    return struct


def _check(value, path):
    if isinstance(value, bool) or value is None or isinstance(value, (float, str)):
        return
    if isinstance(value, int):
        if abs(value) > 2**53:
            raise ValueError(f"{path}: found {value}, expected at most 2^53; carry it as a decimal string")
    elif isinstance(value, dict):
        for key, entry in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{path}: found the key {key!r}, expected a string")
            _check(entry, f"{path}.{key}" if path else key)
    elif isinstance(value, (list, tuple)):
        for index, entry in enumerate(value):
            _check(entry, f"{path}[{index}]")
    else:
        raise ValueError(f"{path}: found {type(value).__name__}, expected None, bool, int, float, str, list or dict")


def from_struct(struct):
    """The dict of a Struct; numbers are floats."""
    return {key: _plain(value) for key, value in struct.fields.items()}


def _plain(value):
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return from_struct(value.struct_value)
    if kind == "list_value":
        return [_plain(entry) for entry in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)


class Stub:
    """The calls, over a channel."""

    def __init__(self, channel):
        def call(kind, name, request, response):
            return getattr(channel, kind)(
                f"/{PACKAGE}.Connector/{name}",
                request_serializer=request.SerializeToString,
                response_deserializer=response.FromString,
            )

        self.register = call("unary_unary", "Register", RegisterRequest, RegisterResponse)
        self.emit = call("unary_unary", "Emit", EmitRequest, EmitResponse)
        self.emit_stream = call("stream_stream", "EmitStream", EmitRequest, EmitResponse)
        self.tasks = call("unary_stream", "Tasks", TasksRequest, Assignment)
        self.submit = call("unary_unary", "Submit", SubmitRequest, SubmitResponse)
