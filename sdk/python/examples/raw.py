"""A connector with nothing but gRPC: it asks the node for the `.proto` by reflection, as any language can.

    python raw.py 127.0.0.1:50051 node.token

It emits an event, greets once, and ends.
"""

import pathlib
import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

target, token_file = sys.argv[1:]
authorization = (("authorization", f"Bearer {pathlib.Path(token_file).read_text().strip()}"),)
channel = grpc.insecure_channel(target)

health = health_pb2_grpc.HealthStub(channel).Check(
    health_pb2.HealthCheckRequest(service="surety.connector.v1.Connector"), timeout=10
)
assert health.status == health_pb2.HealthCheckResponse.SERVING

reflection = ProtoReflectionDescriptorDatabase(channel)
assert "surety.connector.v1.Connector" in reflection.get_services()
pool = descriptor_pool.DescriptorPool(reflection)
service = pool.FindServiceByName("surety.connector.v1.Connector")


def call(name, **fields):
    method = service.methods_by_name[name]
    request = message_factory.GetMessageClass(method.input_type)()
    json_format.ParseDict(fields, request, descriptor_pool=pool)
    response = message_factory.GetMessageClass(method.output_type)
    kind = channel.unary_stream if method.server_streaming else channel.unary_unary
    stub = kind(
        f"/{service.full_name}/{name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=response.FromString,
    )
    return stub(request, metadata=authorization, timeout=60)


registered = call("Register", service="greeter", connector="raw", events=[{"name": "visited"}], tasks=[{"name": "greet"}])
print("service", registered.service, flush=True)
session = registered.session
emitted = call("Emit", session=session, event="visited", data={"number": 2, "visitor": "Bob"})
print("accepted", emitted.accepted, flush=True)
wrong = call("Emit", session=session, event="visited", data={"number": "two"})
print("refused", wrong.refused.message.replace("\n", "; "), flush=True)
for assignment in call("Tasks", session=session):
    visitor = assignment.inputs.fields["visitor"].string_value
    output = {"greeting": f"Hello, {visitor}!"}
    answer = call("Submit", session=session, task=assignment.task, attempt=assignment.attempt, output=output)
    assert not answer.HasField("refused"), answer.refused.message
    print("done", assignment.task, flush=True)
    break
