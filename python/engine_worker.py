"""The program of an mlx engine's child process: one model, driven over descriptor 3 (docs/spec/engines.md §3.2).

Tokens go in and out; text is made on the other side. Run as `python -I -B engine_worker.py --model-directory DIR ...`.
"""

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from hearth_worker import lockdown  # noqa: E402
from hearth_worker.channel import Channel  # noqa: E402


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--model-directory", required=True)
    parser.add_argument("--adapters-directory")
    parser.add_argument("--read-path", action="append", default=[])
    parser.add_argument("--hearth-launch")
    given = parser.parse_args()

    channel = Channel()
    layers = lockdown.apply([given.model_directory, *given.read_path], given.adapters_directory)

    import mlx.core as mx
    from importlib.metadata import version

    device = "gpu" if mx.default_device().type == mx.DeviceType.gpu else "cpu"
    build = f"mlx {mx.__version__}, mlx-lm {version('mlx-lm')}"
    channel.send(
        {"kind": "hello", "version": 1, "build": build, "device": device, "view": os.path.basename(given.model_directory), "layers": layers}
    )
    from hearth_worker.worker import Worker

    Worker(channel, given.model_directory, given.adapters_directory, build, device).run()


if __name__ == "__main__":
    main()
