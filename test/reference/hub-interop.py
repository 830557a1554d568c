"""One cache, two tools: what hearth and huggingface_hub (and MLX Knife, where it is installed) see of each other's work.

Run by hand with a Python that has huggingface_hub 2:  python test/reference/hub-interop.py [NODE]
With MLX_KNIFE=FOLDER of `pip install --no-deps --target FOLDER mlx-knife` that one too. Writes test/reference/hub-interop.json. No network: the hub is the fake hub of the tests.
"""
import hashlib, json, os, pathlib, shutil, subprocess, sys, tempfile, time

root = pathlib.Path(__file__).resolve().parents[2]
node = sys.argv[1] if len(sys.argv) > 1 else str(root / "node_modules/.bin/node")
work = pathlib.Path(tempfile.mkdtemp(prefix="hearth_test_interop_"))
names = {"small": "org/small", "other": "org/other"}
weights = {}
for name in names.values():
    folder = work / "repositories" / name / "main"
    folder.mkdir(parents=True)
    weights[name] = os.urandom(300_000)
    (folder / "config.json").write_text('{"model_type":"llama","quantization":{"group_size":64,"bits":4}}')
    header = json.dumps({"w": {"dtype": "U8", "shape": [300_000], "data_offsets": [0, 300_000]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + weights[name])
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text('{"chat_template":"{{ messages }}"}')
    (folder / "sub").mkdir()
    (folder / "sub/notes.txt").write_text(name)

hub = subprocess.Popen([node, str(root / "test/reference/serve-fake-hub.ts"), str(work / "repositories"), '{"slowMs":{"model.safetensors":150}}'], stdout=subprocess.PIPE, text=True)
endpoint = hub.stdout.readline().strip()
home = work / "hf"
cache = home / "hub"
os.environ |= {"HF_HOME": str(home), "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

import huggingface_hub
from huggingface_hub import scan_cache_dir, snapshot_download
from huggingface_hub.utils import WeakFileLock
from huggingface_hub.utils import _shared_blobs as shared
from filelock import Timeout

record = {"huggingface_hub": huggingface_hub.__version__, "platform": sys.platform}
environment = {**os.environ, "HEARTH_HOME": str(work / "home"), "HEARTH_HUB_CDN_HOSTS": "127.0.0.1"}


def hearth(*args, wait=True):
    command = [node, str(root / "bin/hearth.js"), *args]
    if not wait:
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    done = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True)
    return json.loads(done.stdout)


def models():
    return {model["name"]: model["health"] for model in hearth("list", "--all")["data"]["models"]}


def waits_for(path, seconds=60):
    end = time.time() + seconds
    while not list(path.parent.glob(path.name)):
        assert time.time() < end, f"{path} did not come"
        time.sleep(0.02)


try:
    # hearth pulls, huggingface_hub reads.
    pulled = hearth("pull", names["small"])["data"]
    found = snapshot_download(names["small"], local_files_only=True)
    scanned = {repo.repo_id: repo for repo in scan_cache_dir().repos}
    record["hearth_pull_read_by_huggingface_hub"] = {
        "same_commit": pathlib.Path(found).name == pulled["commit_hash"],
        "weights_equal": pathlib.Path(found, "model.safetensors").read_bytes().endswith(weights[names["small"]]),
        "sub_directory": pathlib.Path(found, "sub/notes.txt").read_text() == names["small"],
        "scan_warnings": [str(warning) for warning in scan_cache_dir().warnings],
        "scan_size_equal": scanned[names["small"]].size_on_disk == sum(file.stat().st_size for file in (cache / "models--org--small/blobs").iterdir()),
    }
    # It asks the hub again and downloads nothing: every blob has the name that it expects.
    before = {file.name: file.stat().st_mtime_ns for file in (cache / "models--org--small/blobs").iterdir()}
    snapshot_download(names["small"])
    after = {file.name: file.stat().st_mtime_ns for file in (cache / "models--org--small/blobs").iterdir()}
    record["huggingface_hub_downloads_nothing_again"] = before == after

    # huggingface_hub pulls, hearth reads.
    snapshot_download(names["other"])
    record["huggingface_hub_pull_read_by_hearth"] = {
        "list": models()[names["other"]],
        "health_deep": hearth("health", names["other"], "--deep")["data"]["summary"],
        "pull": hearth("pull", names["other"])["data"]["download_status"],
        "pull_update_bytes": hearth("pull", names["other"], "--update")["data"]["bytes_downloaded"],
    }

    # A lock that huggingface_hub holds keeps hearth waiting, and the other way round.
    blob = next(path.name for path in (cache / "models--org--small/blobs").iterdir() if len(path.name) == 64)
    lock = cache / ".locks/models--org--small" / f"{blob}.lock"
    shutil.rmtree(cache / "models--org--small")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        pull = hearth("pull", names["small"], wait=False)
        heard = pull.stderr.readline()
        while "Another program" not in heard:
            heard = pull.stderr.readline()
            assert heard, "hearth did not wait"
        refused = hearth("rm", names["small"])
    record["hearth_waits_for_huggingface_hub"] = {"notice": heard.strip(), "rm": refused["error"]["type"], "exit": pull.wait()}
    pull.communicate()
    shutil.rmtree(cache / "models--org--small")
    pull = hearth("pull", names["small"], wait=False)
    waits_for(cache / "models--org--small/blobs" / f"{blob}.hearth.incomplete")
    try:
        with WeakFileLock(lock, timeout=0.3):
            waited = False
    except Timeout:
        waited = True
    at_once = snapshot_download(names["small"])
    pull.communicate()
    record["huggingface_hub_waits_for_hearth"] = {"lock_is_held": waited, "exit": pull.returncode, "weights_equal": pathlib.Path(at_once, "model.safetensors").read_bytes().endswith(weights[names["small"]])}

    # Blobs that huggingface_hub shares between models: seen through by hearth, and collected with the last of them.
    xet = hashlib.sha256(b"a hash of the store").hexdigest()
    size = (cache / "models--org--small/blobs" / blob).stat().st_size
    published = shared.publish_blob_to_shared_store(blob_path=str(cache / "models--org--small/blobs" / blob), xet_hash=xet, cache_dir=cache, expected_size=size)
    stored = shared.shared_blob_path(cache, xet)
    health = hearth("health", names["small"], "--deep")["data"]["summary"]
    removed = hearth("rm", names["small"], "--force")["data"]
    record["shared_blobs"] = {"published": published, "health_deep": health, "freed_at_least_weights": removed["freed_bytes"] >= size, "content_gone": not stored.exists(), "unreferenced": len(shared.unreferenced_shared_blobs(cache))}
    record["after_rm"] = {"list": models(), "scan_warnings": [str(warning) for warning in scan_cache_dir().warnings], "scan": sorted(repo.repo_id for repo in scan_cache_dir().repos)}

    folder = os.environ.get("MLX_KNIFE")
    if folder is None:
        record["mlx_knife"] = "MLX_KNIFE names no folder"
    else:
        def knife(*args):
            done = subprocess.run([sys.executable, f"{folder}/bin/mlxk", *args, "--json"], capture_output=True, text=True, env={**environment, "PYTHONPATH": folder})
            return json.loads(done.stdout)

        hearth("pull", names["small"])
        record["mlx_knife"] = {
            "version": next(pathlib.Path(folder).glob("mlx_knife-*.dist-info")).name.removesuffix(".dist-info"),
            "list": {model["name"]: model["health"] for model in knife("list")["data"]["models"]},
            "list_equal": sorted(model["name"] for model in knife("list")["data"]["models"]) == sorted(models()),
            "hash_equal": {model["name"]: model["hash"] for model in knife("list")["data"]["models"]} == {model["name"]: model["hash"] for model in hearth("list")["data"]["models"]},
            "health": knife("health")["data"]["summary"],
            "pull_of_what_hearth_pulled": knife("pull", names["small"])["data"]["download_status"],
            "rm_of_what_hearth_pulled": knife("rm", names["small"])["data"]["action"],
        }
        record["mlx_knife"]["pull"] = knife("pull", names["small"])["data"]["download_status"]
        record["mlx_knife"]["hearth_after_its_pull"] = models()[names["small"]]
        locked = {"mlx_knife": knife("rm", names["small"])["error"], "hearth": hearth("rm", names["small"])["error"]}
        record["mlx_knife"]["rm_after_its_pull"] = {who: error and error["type"] for who, error in locked.items()}
    text = json.dumps(record, indent=2) + "\n"
    (root / "test/reference/hub-interop.json").write_text(text)
    print(text)
finally:
    hub.terminate()
    shutil.rmtree(work, ignore_errors=True)
