#!/bin/bash
# Mirrors with N tasks of a job array, then merges their reports:
#
#   submit.sh N FILE REGISTRY[/PATH] REPORTS [FLAG...]
#
# FILE is that of `sync --src yaml`, REPORTS a folder that all nodes see. Prints the number of the
# job that merges: it ends after all others.
set -eu

if [ $# -lt 4 ]; then
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
shards=$1 file=$(realpath "$2") to=$3
mkdir -p "$4"
reports=$(realpath "$4")
shift 4
here=$(dirname "$(realpath "$0")")

# What an earlier run with more shards reported must not count for this one.
rm -f "$reports"/shard-*.report.json

export MIRROR_FILE=$file MIRROR_TO=$to MIRROR_REPORTS=$reports MIRROR_FLAGS=$*
array=$(sbatch --parsable --export=ALL --array="0-$((shards - 1))" \
    --output="$reports/shard-%a.log" "$here/mirror.sbatch")
sbatch --parsable --export=ALL --dependency="afterany:${array%%;*}" \
    --output="$reports/merge.log" "$here/merge.sbatch"
