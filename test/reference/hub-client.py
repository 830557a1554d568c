"""Drives a hub with the official client: python hub-client.py FOLDER REPOSITORY. Prints one JSON line per step.

HF_ENDPOINT names the hub, HF_TOKEN the token, HF_HUB_DISABLE_XET=1 keeps to the routes that every hub has, HF_HOME is a folder of its own.
"""
import filecmp
import json
import os
import sys

from huggingface_hub import HfApi, __version__, snapshot_download

folder, repository = sys.argv[1:3]
api = HfApi()


def step(name, **facts):
    print(json.dumps({"step": name, **facts}), flush=True)


step("version", version=__version__)
url = api.create_repo(repository, private=True)
step("create", private=api.model_info(repository).private, id=url.repo_id)
step("again", id=api.create_repo(repository, private=True, exist_ok=True).repo_id)
first = api.upload_folder(repo_id=repository, folder_path=folder, commit_message="first")
step("upload", oid=first.oid, files=sorted(api.list_repo_files(repository)))
same = api.upload_folder(repo_id=repository, folder_path=folder, commit_message="again")
step("no-op", oid=same.oid)
api.create_branch(repository, branch="side")
with open(os.path.join(folder, "extra.txt"), "w") as file:
    file.write("extra")
side = api.upload_folder(repo_id=repository, folder_path=folder, commit_message="side", revision="side", parent_commit=first.oid)
step("branch", oid=side.oid, files=sorted(api.list_repo_files(repository, revision="side")))
try:
    api.upload_file(repo_id=repository, path_or_fileobj=b"late", path_in_repo="late.txt", revision="side", parent_commit=first.oid)
    step("moved", refused=False)
except Exception as error:
    step("moved", refused=True, status=getattr(getattr(error, "response", None), "status_code", None))
api.delete_file("extra.txt", repository, revision="side", commit_message="gone")
step("delete", files=sorted(api.list_repo_files(repository, revision="side")))
os.remove(os.path.join(folder, "extra.txt"))
local = snapshot_download(repository)
names = [os.path.relpath(os.path.join(at, name), folder) for at, _, found in os.walk(folder) for name in found]
step("download", same=all(filecmp.cmp(os.path.join(folder, name), os.path.join(local, name), shallow=False) for name in names), count=len(names))
