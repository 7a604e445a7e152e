"""HTTP requests into calls of AWS actions, and their answers back, in the protocol of the service.

Routing, parsing and serialising follow botocore's service models through moto's own code for it (moto.core), which knows the
protocols json, rest-json, query, ec2 and rest-xml; tests/local_aws/test_moto_seams.py holds it to that.
"""

from __future__ import annotations

import io
import json
import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape, unescape

from botocore.utils import parse_timestamp
from moto.core.model import OperationModel
from moto.core.parse import PROTOCOL_PARSERS, RequestParserError
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.serialize import SerializationContext, get_serializer_class
from werkzeug.exceptions import NotFound

from kit.local_aws.protocol import AwsError, mistyped, problems, service

__all__ = ["Call", "Environ", "Reply", "decode", "encode", "encode_error", "failure", "identify"]

Environ = dict[str, Any]

# Signing names that are not botocore's name of the service, or that several services share.
SIGNING = {
    "access-analyzer": ("accessanalyzer",),
    "bedrock": ("bedrock", "bedrock-runtime", "bedrock-agent"),
    "elasticloadbalancing": ("elbv2", "elb"),
    "email": ("sesv2", "ses"),
    "monitoring": ("cloudwatch",),
    "sagemaker": ("sagemaker", "sagemaker-runtime", "sagemaker-featurestore-runtime", "sagemaker-metrics"),
    "servicequotas": ("service-quotas",),
    "sso": ("sso-admin", "sso"),
    "states": ("stepfunctions",),
    "tagging": ("resourcegroupstaggingapi",),
}
CREDENTIAL = re.compile(r"([^/\s=]+)/\d{8}/([\w-]+)/([\w-]+)/aws4_request")
OLD_CREDENTIAL = re.compile(
    r"^AWS ([^:]+):"
)  # signature version 2, which boto3 still gives presigned URLs of S3


@dataclass(frozen=True)
class Call:
    """A request, understood: botocore's service name and action ("GET /path" where no action is known), who signed it, and where."""

    service: str
    action: str
    protocol: str
    region: str
    principal: str
    request: Request
    operation: OperationModel | None = None
    uri: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def identify(environ: Environ, body: bytes) -> Call:
    """Which action of which service the request asks for."""
    environ = {**environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    request = Request(environ)
    signed = request.headers.get("Authorization", "")
    query = parse_qs(environ.get("QUERY_STRING", ""))
    scope = CREDENTIAL.search(signed or query.get("X-Amz-Credential", [""])[0])
    old = OLD_CREDENTIAL.match(signed)
    key = old[1] if old else query.get("AWSAccessKeyId", [""])[0]
    principal, region, signing = scope.groups() if scope else (key, "us-east-1", "s3")
    names = SIGNING.get(signing, (signing,))
    if signing == "s3" and (request.path.startswith("/v20180820/") or "s3-control" in request.host):
        names = ("s3control",)
    for name in names:
        model = service(name)
        if model is None:
            continue
        try:
            found, uri = get_service_router(name).match(request)
        except (NotFound, NotImplementedError):
            continue
        protocol = determine_request_protocol(model, request.content_type)
        return Call(name, found.name, protocol, region, principal, request, found, uri)
    return _unknown(request, names[0], region, principal)


def _unknown(request: Request, name: str, region: str, principal: str) -> Call:
    """A call of an action that botocore's models do not have."""
    model = service(name)
    protocol = model.protocol if model is not None else ""
    target = request.headers.get("X-Amz-Target", "")
    if target:
        return Call(name, target.rpartition(".")[2], "json", region, principal, request)
    if action := request.values.get("Action"):
        return Call(name, action, "query" if protocol != "ec2" else "ec2", region, principal, request)
    return Call(name, f"{request.method} {request.path}", protocol, region, principal, request)


def _aware(value: Any) -> datetime:
    moment: datetime = parse_timestamp(value)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def decode(call: Call, body: bytes) -> dict[str, Any]:
    """The call's parameters, valid by the service's model; timestamps are aware datetimes in UTC, blobs bytes.

    Raises AwsError SerializationException for what cannot be read, ValidationException (in AWS's words) for what is not valid.
    """
    if call.operation is None or call.operation.input_shape is None:
        return {}
    shape = call.operation.input_shape
    unknown: dict[str, Any] = {}
    if call.protocol == "json" or (call.protocol == "rest-json" and "payload" not in shape.serialization):
        wire = _json(body)
        if text := mistyped(shape, wire):
            raise AwsError("SerializationException", text)
        if call.protocol == "json":
            unknown = {name: value for name, value in wire.items() if name not in shape.members}
    parser = PROTOCOL_PARSERS[call.protocol](call.operation, timestamp_parser=_aware)
    request = call.request
    try:
        params = parser.parse(
            {
                "method": request.method,
                "values": request.values,
                "headers": request.headers,
                "body": body,
                "url_path": request.path,
                "url_params": call.uri,
            }
        )
    except (ValueError, TypeError, AttributeError, RequestParserError) as error:
        raise AwsError("SerializationException", f"Could not parse the request: {error}") from error
    sent = {name: value for name, value in (params or {}).items() if not _absent(shape.members[name], value)}
    if found := problems(shape, {**sent, **unknown}):
        count = f"{len(found)} validation error{'s' if len(found) > 1 else ''} detected: "
        code = "ValidationError" if call.protocol in ("query", "ec2") else "ValidationException"
        raise AwsError(code, count + "; ".join(found))
    return sent


def _absent(shape: Any, value: Any) -> bool:
    """Whether the parser made the value of nothing; a query string cannot hold an empty list."""
    return value is None or (value == [] and shape.serialization.get("location") == "querystring")


def _json(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body or b"{}")
    except ValueError as error:
        raise AwsError("SerializationException", f"The request is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise AwsError("SerializationException", "Unexpected type: an object was expected")
    return value


def encode(call: Call, result: dict[str, Any]) -> Reply:
    """The answer of an action in its service's protocol; the result is shaped already."""
    assert call.operation is not None
    request_id = str(uuid.uuid4())
    serializer = get_serializer_class(call.service, call.protocol)
    made = serializer(call.operation, SerializationContext(request_id)).serialize(result)
    headers = {**made["headers"], "x-amzn-RequestId": request_id}
    shape = call.operation.output_shape
    for name, member in (shape.members if shape else {}).items():
        # A Content-Type that the action itself answers is worth more than the protocol's own.
        if member.serialization.get("location") == "header" and name in result:
            header = member.serialization.get("name", name)
            if header.lower() == "content-type":
                headers["Content-Type"] = str(result[name])
    content = made["body"]
    content = content.encode() if isinstance(content, str) else content or b""
    return Reply(made["status_code"], list(headers.items()), content)


def encode_error(call: Call | None, error: AwsError) -> Reply:
    """The error in the form of the call's protocol: JSON with __type, or XML; never HTML."""
    request_id = str(uuid.uuid4())
    protocol = call.protocol if call is not None else ""
    headers = {"x-amzn-RequestId": request_id, "x-amzn-ErrorType": error.code}
    if protocol in ("query", "ec2", "rest-xml"):
        said = f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
        kind = f"<Type>{'Sender' if error.status < 500 else 'Receiver'}</Type>"
        if protocol == "ec2":
            text = f"<Response><Errors><Error>{said}</Error></Errors><RequestID>{request_id}</RequestID></Response>"
        elif call is not None and call.service == "s3":
            text = f"<Error>{said}<RequestId>{request_id}</RequestId></Error>"
        else:
            text = f"<ErrorResponse><Error>{kind}{said}</Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        headers["Content-Type"] = "text/xml"
        head = '<?xml version="1.0" encoding="UTF-8"?>\n'
        return Reply(error.status, list(headers.items()), (head + text).encode())
    headers["Content-Type"] = "application/json" if protocol == "rest-json" else "application/x-amz-json-1.1"
    said_json = {"__type": error.code, "message": error.message, **error.members}
    return Reply(error.status, list(headers.items()), json.dumps(said_json, default=str).encode())


def failure(reply: Reply) -> tuple[str, str]:
    """The code and the message of an error answer, in whichever protocol; the HTTP status where it has none."""
    headers = {name.lower(): value for name, value in reply.headers}
    text = reply.body.decode("utf-8", "replace")
    try:
        said = json.loads(text)
        found = (
            said.get("__type") or headers.get("x-amzn-errortype"),
            said.get("message") or said.get("Message"),
        )
    except (ValueError, AttributeError):
        parts = [re.search(f"<{name}>(.*?)</{name}>", text, re.DOTALL) for name in ("Code", "Message")]
        found = unescape(parts[0][1]) if parts[0] else None, unescape(parts[1][1]) if parts[1] else None
    code = (
        str(found[0] or headers.get("x-amzn-errortype") or reply.status).rpartition("#")[2].partition(":")[0]
    )
    return code, str(found[1] or "")
