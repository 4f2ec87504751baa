"""Servers that take log entries over HTTP, each held to its documents. Prints its address, and serves until its standard input ends.

/v1/logs                     an OpenTelemetry collector: reads the request with OpenTelemetry's own protobuf definitions
/services/collector/event    Splunk's HTTP Event Collector with indexer acknowledgement, which tells of the first batch only when asked twice
/services/collector/ack
/fhir                        a FHIR server that takes a Bundle of type batch, and ids of clients
/received                    what came, as JSON
/fail?<name>                 the next <count> requests to <name> are answered with 503 and `retry-after: 0`
/poison?<sequence>           from now on the Event Collector refuses a batch with this entry (code 6)
"""

import json
import os
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

CHANNEL = re.compile(r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$")
LOCK = threading.Lock()
RECEIVED = {"otlp": [], "hec": [], "fhir": [], "attempts": {}}
FAIL, POISON, ASKED, ACCEPTED = {}, set(), {}, {}


def objects(text):
    """JSON objects one after the other, as HEC takes them."""
    decoder, place = json.JSONDecoder(), 0
    while place < len(text):
        found, place = decoder.raw_decode(text, place)
        yield found
        while place < len(text) and text[place].isspace():
            place += 1


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, headers=()):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        place = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(place.query).items()}
        with LOCK:
            if place.path == "/fail":
                FAIL.update({key: int(value) for key, value in query.items()})
            if place.path == "/poison":
                POISON.update(map(int, query))
            self.answer(200, RECEIVED if place.path == "/received" else {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        place = urlsplit(self.path)
        name = {"/v1/logs": "otlp", "/services/collector/event": "hec", "/services/collector/ack": "ack", "/fhir/": "fhir"}
        name = name.get(place.path)
        with LOCK:
            if name is None:
                return self.answer(404, {})
            RECEIVED["attempts"][name] = RECEIVED["attempts"].get(name, 0) + 1
            if FAIL.get(name, 0) > 0:
                FAIL[name] -= 1
                return self.answer(503, {}, [("retry-after", "0")])
            return getattr(self, name)(body, place)

    def otlp(self, body, _):
        request = ExportLogsServiceRequest()
        try:
            json_format.Parse(body, request)
        except json_format.ParseError as error:
            return self.answer(400, {"message": str(error)})
        for of_resource in request.resource_logs:
            resource = {a.key: a.value.string_value for a in of_resource.resource.attributes}
            for of_scope in of_resource.scope_logs:
                for record in of_scope.log_records:
                    attributes = {a.key: a.value.string_value or a.value.int_value for a in record.attributes}
                    RECEIVED["otlp"].append({
                        "resource": resource, "scope": of_scope.scope.name, "time": record.time_unix_nano,
                        "severity": record.severity_number, "event": record.event_name,
                        "body": record.body.string_value, "attributes": attributes,
                    })
        self.answer(200, {})

    def authorized(self):
        if self.headers.get("authorization") != "Splunk 1c5e6ddf-8a0b-4a3e-9d7a-nephron":
            self.answer(403, {"text": "Invalid token", "code": 4})
            return False
        if not CHANNEL.match(self.headers.get("x-splunk-request-channel", "")):
            self.answer(400, {"text": "Data channel is missing", "code": 10})
            return False
        return True

    def hec(self, body, _):
        if not self.authorized():
            return
        try:
            events = list(objects(body.decode()))
        except ValueError:
            return self.answer(400, {"text": "Invalid data format", "code": 6})
        if not events:
            return self.answer(400, {"text": "No data", "code": 5})
        known = {"time", "host", "source", "sourcetype", "index", "event", "fields"}
        for number, event in enumerate(events):
            if not event.get("event"):
                return self.answer(400, {"text": "Event field is required", "code": 12, "invalid-event-number": number})
            if set(event) - known or event["event"]["header"]["sequence"] in POISON:
                return self.answer(400, {"text": "Invalid data format", "code": 6, "invalid-event-number": number})
            if not all(isinstance(value, (str, list)) for value in event.get("fields", {}).values()):
                return self.answer(400, {"text": "Error in handling indexed fields", "code": 15})
        ack = len(ACCEPTED)
        ACCEPTED[ack] = events
        self.answer(200, {"text": "Success", "code": 0, "ackId": ack})

    def ack(self, body, place):
        if not self.authorized():
            return
        if parse_qs(place.query).get("channel") != [self.headers["x-splunk-request-channel"]]:
            return self.answer(400, {"text": "Data channel is missing", "code": 10})
        acks = {}
        for ack in json.loads(body)["acks"]:
            ASKED[ack] = ASKED.get(ack, 0) + 1
            # The first batch is asked about twice.
            acks[str(ack)] = ack > 0 or ASKED[ack] > 1
            if acks[str(ack)]:
                RECEIVED["hec"] += ACCEPTED.pop(ack, [])
        self.answer(200, {"acks": acks})

    def fhir(self, body, _):
        bundle = json.loads(body)
        if self.headers["content-type"] != "application/fhir+json" or bundle.get("type") != "batch":
            return self.answer(400, {"resourceType": "OperationOutcome"})
        answers = []
        for entry in bundle["entry"]:
            resource, request = entry["resource"], entry["request"]
            is_its_own = request["url"] == f"AuditEvent/{resource.get('id')}"
            status = "201 Created" if request["method"] == "PUT" and is_its_own else "400 Bad Request"
            answers.append({"response": {"status": status}})
            RECEIVED["fhir"].append(resource)
        self.answer(200, {"resourceType": "Bundle", "type": "batch-response", "entry": answers})


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"http://127.0.0.1:{server.server_port}", flush=True)
sys.stdin.read()
os._exit(0)
