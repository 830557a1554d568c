# What a script around `mlxk` does: each verb for people and as JSON, with its exit code and what such a script takes out of the answer.
# Wants: mlxk and node in PATH, an empty directory, HF_ENDPOINT with org/tiny and org/encoder, PUSH_ENDPOINT, HF_TOKEN.

# people NAME COMMAND...: exit code, and whether anything came on stdout
people() {
  local name=$1 out code
  shift
  out=$("$@" 2>>errors.txt </dev/null) && code=0 || code=$?
  echo "$name: exit $code, $([ -n "$out" ] && echo text || echo nothing)"
}

# json NAME EXPRESSION COMMAND...: exit code, and the value of a JavaScript expression over the document `d`
json() {
  local name=$1 expression=$2 out code
  shift 2
  out=$("$@" --json 2>>errors.txt </dev/null) && code=0 || code=$?
  echo "$name --json: exit $code, $(node -e 'const d = JSON.parse(require("fs").readFileSync(0, "utf8")); console.log(eval(process.argv[1]))' "$expression" <<<"$out" 2>>errors.txt)"
}

people version mlxk --version
json version '[d.status, d.command, d.data.json_api_spec_version].join(" ")' mlxk --version
people pull mlxk pull org/tiny
json 'pull again' '[d.data.download_status, d.data.model].join(" ")' mlxk pull org/tiny
json 'pull encoder' 'd.data.download_status' mlxk pull org/encoder
people list mlxk list --all
json list 'd.data.models.map((m) => m.name).sort().join(" ")' mlxk list
people show mlxk show org/tiny
json show '[d.data.model.name, d.data.model.health, d.data.model.cached].join(" ")' mlxk show org/tiny
json 'show --files' 'd.data.files.map((f) => f.name).sort().join(" ")' mlxk show org/tiny --files
people 'show nothing' mlxk show nothing
json 'show nothing' '[d.status, d.error.type].join(" ")' mlxk show nothing
people health mlxk health org/tiny
json health 'd.data.summary.healthy_count' mlxk health org/tiny
people run mlxk run org/tiny hello --max-tokens 4 --temperature 0
json run '[d.data.model, d.data.prompt, typeof d.data.response, d.data.tokens_generated > 0].join(" ")' mlxk run org/tiny hello --max-tokens 4 --temperature 0
people clone mlxk clone org/tiny ./one
json clone '[d.data.clone_status, d.data.target_dir.split("/").pop()].join(" ")' mlxk clone org/tiny ./two
json 'show of the clone' '[d.data.model.clean, d.data.model.content_hash].join(" ")' mlxk show ./two
people convert mlxk convert ./one ./four --quantize 4
json convert '[d.data.mode, d.data.health_status].join(" ")' mlxk convert ./two ./three --repair-index
people 'push --check-only' mlxk push --private --check-only ./one tester/model
json 'push --check-only' 'd.data.workspace_health.healthy' mlxk push --private --check-only ./one tester/model
export HF_ENDPOINT=$PUSH_ENDPOINT
json 'push --dry-run' 'd.data.dry_run_summary.added > 0' mlxk push --private --dry-run ./one tester/model
json push '[d.data.no_changes === true, d.data.uploaded_files_count > 0, /^[0-9a-f]{40}$/.test(d.data.commit_sha)].join(" ")' mlxk push --private ./one tester/model
people push mlxk push --private ./one tester/model
people embed mlxk embed org/encoder hello
json embed '[d.data.records.length, d.data.records[0].embedding.length].join(" ")' mlxk embed org/encoder hello
people rm mlxk rm org/tiny --force
json rm '[d.data.action, d.data.model].join(" ")' mlxk rm org/encoder --force
json 'list at the end' 'd.data.count' mlxk list
