#!/bin/bash
# logged.sh LOG COMMAND...: run a command with its output in a log that outlives it. Snakemake deletes a rule's log before
# the next attempt, so the file has a second name in `attempts/` beside it.
set -euo pipefail
log=$1
shift
kept=$(dirname "$log")/attempts/$(basename "$log" .log).$(date +%Y-%m-%dT%H.%M.%S).${SLURM_JOB_ID:-$$}.log
mkdir -p "$(dirname "$kept")"
: > "$log"
ln -f "$log" "$kept"
exec "$@" >> "$log" 2>&1
