"""AWS's own library verifies the signature of a request that the gateway sent. Prints one line if it held."""

import json
import os

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

sent = json.loads(os.environ["SENT"])
headers = dict(sent["headers"])
assert len(headers) == len(sent["headers"]), "a header came twice"
kind, _, parts = headers["authorization"].partition(" ")
assert kind == "AWS4-HMAC-SHA256", kind
parts = dict(part.split("=", 1) for part in parts.split(", "))
access_key, day, region, service, end = parts["Credential"].split("/")
assert (access_key, end) == (os.environ["ACCESS_KEY_ID"], "aws4_request"), parts
signed = parts["SignedHeaders"].split(";")
assert {"host", "x-amz-date", "x-amz-content-sha256", "content-type"} <= set(signed)

# Only what is signed is handed over, and the digest of the body is computed anew.
headers = {name: headers[name] for name in signed if name != "x-amz-content-sha256"}
request = AWSRequest(
    "POST", "http://" + headers["host"] + sent["path"], headers, sent["body"].encode()
)
request.headers["x-amz-content-sha256"] = SigV4Auth(None, "", "").payload(request)
request.context["timestamp"] = headers["x-amz-date"]
assert headers["x-amz-date"].startswith(day)
auth = SigV4Auth(Credentials(access_key, os.environ["SECRET"]), service, region)
to_sign = auth.string_to_sign(request, auth.canonical_request(request))
assert auth.signature(to_sign, request) == parts["Signature"], "the signature is wrong"
print("held: signed for", region, service)
