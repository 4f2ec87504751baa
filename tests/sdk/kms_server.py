"""A local server that speaks the wire protocol of AWS KMS (moto). Prints its address, and serves until its standard input
ends. It checks no signatures and no policies, and it lets keys that are disabled or about to be deleted decrypt."""

import logging
import os
import sys

from moto.server import ThreadedMotoServer

logging.disable()
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
print(f"http://{host}:{port}", flush=True)
sys.stdin.read()
os._exit(0)
