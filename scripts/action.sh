#!/usr/bin/env bash
# What action.yml does. Inputs come by the environment; what is printed holds no secret, as nothing of group-sync does.
set -euo pipefail

config=$INPUT_CONFIG plan=$INPUT_PLAN_FILE
read -ra more <<<"${INPUT_ARGUMENTS:-}"
read -ra approved <<<"${INPUT_APPROVE:-}"
summary=${GITHUB_STEP_SUMMARY:-/dev/null} output=${GITHUB_OUTPUT:-/dev/null}
page=$(mktemp)
trap 'rm -f "$page" "$page.json"' EXIT

command -v group-sync >/dev/null || npm install --global --no-audit --no-fund "group-sync@${INPUT_VERSION:-latest}"

# One comment for each spec, found again by a mark that readers do not see.
comment() {
  [[ ${INPUT_COMMENT:-true} == true && -n ${PULL_REQUEST:-} ]] || return 0
  local mark="<!-- group-sync: $config -->" comments="repos/$GITHUB_REPOSITORY/issues" id
  # Not as an argument: a plan may be longer than the system lets one be.
  { printf '%s\n' "$mark"; cat "$page"; } | node -e '
    let body = ""; process.stdin.setEncoding("utf8").on("data", (text) => (body += text));
    process.stdin.on("end", () => process.stdout.write(JSON.stringify({ body })));' >"$page.json"
  id=$(MARK=$mark gh api --paginate "$comments/$PULL_REQUEST/comments" \
    --jq '.[] | select(.body | startswith(env.MARK)) | .id' | head -n 1) || return 1
  if [[ -n $id ]]; then
    gh api --silent --method PATCH "$comments/comments/$id" --input "$page.json"
  else
    gh api --silent --method POST "$comments/$PULL_REQUEST/comments" --input "$page.json"
  fi
}

finish() { # exit code, status
  printf 'exit-code=%s\nstatus=%s\n' "$1" "$2" >>"$output"
}

code=0
case $INPUT_COMMAND in
  plan)
    group-sync validate -c "$config"
    group-sync plan -c "$config" --out "$plan" --format markdown ${more[@]+"${more[@]}"} >"$page" || code=$?
    [[ -s $page ]] || echo "The plan of \`$config\` failed; the log of this run says why." >"$page"
    cat "$page" >>"$summary"
    case $code in 0) status=in-sync ;; 2) status=changes ;; 3) status=held ;; *) status=failed ;; esac
    finish "$code" "$status"
    comment || echo "::warning::The plan could not be written as a comment; it is in the summary of this run."
    # Changes and held ones are what a plan is for; they are no failure.
    [[ $code == 2 || $code == 3 ]] || exit "$code"
    ;;
  apply)
    if [[ ! -f $plan ]]; then
      echo "::error::There is no $plan: plan first, and hand the file from job to job." && exit 1
    fi
    if ((${#approved[@]} > 0)); then
      group-sync approve "$plan" --group "${approved[@]}" --by "${GITHUB_TRIGGERING_ACTOR:-${GITHUB_ACTOR:?}}"
    fi
    group-sync apply "$plan" -c "$config" --yes --report "$page.md" || code=$?
    if [[ -f $page.md ]]; then cat "$page.md" >>"$summary" && rm "$page.md"; fi
    case $code in 0) status=converged ;; 3) status=held ;; 4) status=partial ;; *) status=failed ;; esac
    finish "$code" "$status"
    exit "$code"
    ;;
  *)
    echo "::error::command is plan or apply, not $INPUT_COMMAND." && exit 1
    ;;
esac
