"""llama.cpp's own HTTP server as a peer: prints its address as one JSON line, and ends when standard input does.

Arguments: GGUF file, threads, context tokens, parallel sequences.
"""

import json
import os
import sys

out = os.fdopen(os.dup(1), "w")  # the library writes to stdout itself
os.dup2(2, 1)

import xllamacpp as x  # noqa: E402

path, threads, context, parallel = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
params = x.CommonParams()
params.model.path = path
params.n_ctx = context
params.n_parallel = parallel
params.cpuparams.n_threads = threads
params.cpuparams_batch.n_threads = threads
params.warmup = False
params.port = 0
server = x.Server(params)
out.write(json.dumps({"url": server.listening_address, "version": getattr(x, "__version__", "")}) + "\n")
out.flush()
sys.stdin.read()
os._exit(0)
