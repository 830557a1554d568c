#compdef hearth
autoload -U +X bashcompinit && bashcompinit
_hearth() {
  local current="${COMP_WORDS[COMP_CWORD]}" verb="${COMP_WORDS[1]}" words=""
  [ "$verb" = "bench" ] && [ "$COMP_CWORD" -gt 2 ] && verb="$verb ${COMP_WORDS[2]}"
  [ "$verb" = "config" ] && [ "$COMP_CWORD" -gt 2 ] && verb="$verb ${COMP_WORDS[2]}"
  [ "$verb" = "engines" ] && [ "$COMP_CWORD" -gt 2 ] && verb="$verb ${COMP_WORDS[2]}"
  [ "$verb" = "trust" ] && [ "$COMP_CWORD" -gt 2 ] && verb="$verb ${COMP_WORDS[2]}"
  [ "$verb" = "keys" ] && [ "$COMP_CWORD" -gt 2 ] && verb="$verb ${COMP_WORDS[2]}"
  [ "$verb" = "audit" ] && [ "$COMP_CWORD" -gt 2 ] && verb="$verb ${COMP_WORDS[2]}"
  [ "$verb" = "deps" ] && [ "$COMP_CWORD" -gt 2 ] && verb="$verb ${COMP_WORDS[2]}"
  [ "$verb" = "keys api" ] && [ "$COMP_CWORD" -gt 3 ] && verb="$verb ${COMP_WORDS[3]}"
  if [ "$COMP_CWORD" -eq 1 ]; then words="run embed list show health pull rm clone convert push bench version serve up down status doctor logs catalog config engines sign verify trust keys audit deps sbom completion"; else case "$verb" in
    "run") words="--prompt --system --chat --max-tokens --temperature --top-p --top-k --min-p --seed --stop --repetition-penalty --template-arg --adapter --adapter-scale --no-stream --no-chat-template --no-reasoning --verbose --json-schema --engine --image --audio --language --translate --chunk --no-sandbox --json --quiet --yes --no-color --log-level --help" ;;
    "embed") words="--batch --query --instruct --cpu --verbose --json --quiet --yes --no-color --log-level --help" ;;
    "list") words="--all --health --verbose --json --quiet --yes --no-color --log-level --help" ;;
    "show") words="--files --config --recalc-hash --json --quiet --yes --no-color --log-level --help" ;;
    "health") words="--strict --deep --online --json --quiet --yes --no-color --log-level --help" ;;
    "pull") words="--revision --include --exclude --quant --update --force --force-resume --workers --bench --json --quiet --yes --no-color --log-level --help" ;;
    "rm") words="--force --prune --json --quiet --yes --no-color --log-level --help" ;;
    "clone") words="--branch --no-health-check --from-hub --force-resume --json --quiet --yes --no-color --log-level --help" ;;
    "convert") words="--quantize --q-group-size --to --exact --verify --repair-index --repair --skip-health --json --quiet --yes --no-color --log-level --help" ;;
    "push") words="--private --create --branch --commit --delete --check-only --dry-run --verbose --json --quiet --yes --no-color --log-level --help" ;;
    "bench target") words="--iterations --save --fail-on --json --quiet --yes --no-color --log-level --help" ;;
    "bench run") words="--suite --repeat --report --monitor --json --quiet --yes --no-color --log-level --help" ;;
    "bench validate") words="--json --quiet --yes --no-color --log-level --help" ;;
    "bench report") words="--compare --memory --output --json --quiet --yes --no-color --log-level --help" ;;
    "bench monitor") words="--interval-ms --duration-s --output --json --quiet --yes --no-color --log-level --help" ;;
    "bench plot") words="--output --format --title --json --quiet --yes --no-color --log-level --help" ;;
    "version") words="--json --quiet --yes --no-color --log-level --help" ;;
    "serve") words="--model --host --port --max-tokens --log-json --embed-backend --no-sandbox --json --quiet --yes --no-color --log-level --help" ;;
    "up") words="--no-sandbox --json --quiet --yes --no-color --log-level --help" ;;
    "down") words="--now --daemon --json --quiet --yes --no-color --log-level --help" ;;
    "status") words="--limits --watch --interval --json --quiet --yes --no-color --log-level --help" ;;
    "doctor") words="--fix --json --quiet --yes --no-color --log-level --help" ;;
    "logs") words="--tail --follow --all --rotate --service --json --quiet --yes --no-color --log-level --help" ;;
    "catalog") words="--family --tag --tool-calling --json --quiet --yes --no-color --log-level --help" ;;
    "config list") words="--json --quiet --yes --no-color --log-level --help" ;;
    "config get") words="--json --quiet --yes --no-color --log-level --help" ;;
    "config set") words="--json --quiet --yes --no-color --log-level --help" ;;
    "config explain") words="--json --quiet --yes --no-color --log-level --help" ;;
    "config path") words="--json --quiet --yes --no-color --log-level --help" ;;
    "engines list") words="--json --quiet --yes --no-color --log-level --help" ;;
    "engines install") words="--offline --json --quiet --yes --no-color --log-level --help" ;;
    "engines verify") words="--json --quiet --yes --no-color --log-level --help" ;;
    "engines update") words="--offline --json --quiet --yes --no-color --log-level --help" ;;
    "engines remove") words="--json --quiet --yes --no-color --log-level --help" ;;
    "sign") words="--key --cert --pkcs11 --output --ignore --passphrase-fd --passphrase-env --json --quiet --yes --no-color --log-level --help" ;;
    "verify") words="--key --root --subject --identity --issuer --trusted-root --signature --json --quiet --yes --no-color --log-level --help" ;;
    "trust list") words="--json --quiet --yes --no-color --log-level --help" ;;
    "trust explain") words="--json --quiet --yes --no-color --log-level --help" ;;
    "trust accept") words="--json --quiet --yes --no-color --log-level --help" ;;
    "trust add") words="--require --key --format --max-gb --workspace --json --quiet --yes --no-color --log-level --help" ;;
    "trust remove") words="--json --quiet --yes --no-color --log-level --help" ;;
    "trust mode") words="--json --quiet --yes --no-color --log-level --help" ;;
    "trust revoke") words="--reason --json --quiet --yes --no-color --log-level --help" ;;
    "trust seal") words="--json --quiet --yes --no-color --log-level --help" ;;
    "keys new") words="--curve --role --model --name --passphrase-env --passphrase-fd --json --quiet --yes --no-color --log-level --help" ;;
    "keys import") words="--pending --role --model --name --passphrase-env --passphrase-fd --json --quiet --yes --no-color --log-level --help" ;;
    "keys list") words="--json --quiet --yes --no-color --log-level --help" ;;
    "keys rotate") words="--days --passphrase-env --passphrase-fd --json --quiet --yes --no-color --log-level --help" ;;
    "keys retire") words="--at --json --quiet --yes --no-color --log-level --help" ;;
    "keys revoke") words="--reason --json --quiet --yes --no-color --log-level --help" ;;
    "keys approve") words="--json --quiet --yes --no-color --log-level --help" ;;
    "keys export") words="--json --quiet --yes --no-color --log-level --help" ;;
    "keys api new") words="--scope --name --model --expires --limit --batch --local-only --json --quiet --yes --no-color --log-level --help" ;;
    "keys api list") words="--json --quiet --yes --no-color --log-level --help" ;;
    "keys api revoke") words="--json --quiet --yes --no-color --log-level --help" ;;
    "audit review") words="--since --sign --json --quiet --yes --no-color --log-level --help" ;;
    "audit tail") words="--lines --follow --json --quiet --yes --no-color --log-level --help" ;;
    "audit verify") words="--key --json --quiet --yes --no-color --log-level --help" ;;
    "audit export") words="--since --until --json --quiet --yes --no-color --log-level --help" ;;
    "audit alerts") words="--all --json --quiet --yes --no-color --log-level --help" ;;
    "audit ack") words="--json --quiet --yes --no-color --log-level --help" ;;
    "audit silence") words="--for --subject --reason --end --json --quiet --yes --no-color --log-level --help" ;;
    "audit detect") words="--evaluate --json --quiet --yes --no-color --log-level --help" ;;
    "deps check") words="--offline --online --json --quiet --yes --no-color --log-level --help" ;;
    "deps update") words="--json --quiet --yes --no-color --log-level --help" ;;
    "sbom") words="--format --spec --model --json --quiet --yes --no-color --log-level --help" ;;
    "completion") words="--json --quiet --yes --no-color --log-level --help" ;;
    "bench") words="target run validate report monitor plot" ;;
    "config") words="list get set explain path" ;;
    "engines") words="list install verify update remove" ;;
    "trust") words="list explain accept add remove mode revoke seal" ;;
    "keys") words="new import list rotate retire revoke approve export api" ;;
    "audit") words="review tail verify export alerts ack silence detect" ;;
    "deps") words="check update" ;;
    "keys api") words="new list revoke" ;;
  esac; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [ ${#COMPREPLY[@]} -eq 0 ] && COMPREPLY=($(compgen -f -- "$current"))
}
complete -F _hearth hearth
