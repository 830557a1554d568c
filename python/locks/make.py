"""Makes the locks of the mlx environment: every package ==, with the SHA-256 of its one wheel. Needs network and pip 23.1 or newer.

usage: make.py            (writes all files beside it)

pip resolves for Linux x86-64 by its own rules; the other platforms take the same versions, without a second resolution. `CONSTRAINTS` holds
back what the index knows to be younger than a week.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
WANTED = ["mlx[cpu]==0.32.4", "mlx-lm==0.32.2", "transformers==5.23.0"]
CONSTRAINTS = ["regex<2026.11.14"]
PYTHONS = ["3.11", "3.12", "3.13"]
PLATFORMS = {
    "linux-x64": [f"manylinux_2_{minor}_x86_64" for minor in (35, 34, 31, 28, 27, 17)] + ["manylinux2014_x86_64"],
    "linux-arm64": [f"manylinux_2_{minor}_aarch64" for minor in (35, 34, 31, 28, 27, 17)] + ["manylinux2014_aarch64"],
    "darwin-arm64": [f"macosx_{major}_0_arm64" for major in (14, 13, 12, 11)] + ["macosx_10_12_universal2", "macosx_10_9_universal2"],
}
# Of the package mlx, what does the computing.
BACKENDS = {"linux-x64": "mlx-cpu", "linux-arm64": "mlx-cpu", "darwin-arm64": "mlx-metal"}


def report(python, platform, packages, *more):
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "report.json")
        constraints = Path(scratch, "constraints.txt")
        constraints.write_text("\n".join(CONSTRAINTS))
        tags = [word for tag in PLATFORMS[platform] for word in ("--platform", tag)]
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--disable-pip-version-check"]
        command += ["--only-binary", ":all:", "--report", str(path), "--constraint", str(constraints), "--python-version", python, *tags, *more]
        subprocess.run([*command, *packages], check=True)
        return json.loads(path.read_text())["install"]


def name_of(item):
    return item["metadata"]["name"].lower().replace("_", "-")


def main():
    for python in PYTHONS:
        resolved = report(python, "linux-x64", WANTED)
        for platform, backend in BACKENDS.items():
            pins = [f"{name_of(i).replace('mlx-cpu', backend)}=={i['metadata']['version']}" for i in resolved]
            items = resolved if platform == "linux-x64" else report(python, platform, pins, "--no-deps")
            lines = [f"# Made by make.py for Python {python} on {platform}: wheels only, no dependency is resolved at an installation."]
            for item in sorted(items, key=name_of):
                digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
                lines.append(f"{name_of(item)}=={item['metadata']['version']} --hash=sha256:{digest}")
            name = f"mlx-{platform}-py{python.replace('.', '')}.txt"
            (HERE / name).write_text("\n".join(lines) + "\n")
            print(name, len(items))


if __name__ == "__main__":
    main()
