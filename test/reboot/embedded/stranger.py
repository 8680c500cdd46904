"""Asks a gRPC server of Reboot for what it has, without the secret, as one who has got at the socket.

Says in a line of JSON what each call came to.
"""

import asyncio
import grpc
import json
import sys
from reboot.naming import get_local_application_id

socket, name, state = sys.argv[1:]
application = get_local_application_id(name)

FORGED = [
    ("x-reboot-state-ref", f"effmcp.v1.Call:{state}"),
    ("x-reboot-application-id", application),
    ("x-reboot-server-id", ""),
    ("x-reboot-caller-id", f"application_id={application}"),
    ("x-reboot-app-internal", "true"),
]


async def outcome(call):
    try:
        await call
        return "answered"
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name} {error.details()}"


async def main():
    said = {}
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        for service, method in [
            ("CallMethods", "Fetch"),
            ("CallMethods", "Commit"),
            ("CallMethods", "Run"),
        ]:
            for kind, metadata in [
                ("forged", FORGED),
                ("wrong", FORGED + [("authorization", "Bearer wrong")]),
            ]:
                call = channel.unary_unary(
                    f"/effmcp.v1.{service}/{method}",
                    request_serializer=lambda request: request,
                    response_deserializer=lambda response: response,
                )
                said[f"{method} {kind}"] = await outcome(call(b"", metadata=metadata, timeout=10))
    print(json.dumps(said))


asyncio.run(main())
