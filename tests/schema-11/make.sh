#!/usr/bin/env bash
# Makes a database with the program of an earlier version, as that version leaves it: `make.sh CAIRN FOLDER [--dump]`.
#
# FOLDER, which must not exist, gets the database `cairn.db` with the manifests and plugins of its flows. `--dump` also writes `database.sql`
# beside this script: the same database as SQL text, without the path that the file records, because each test has its own.
# Needs sqlite3 for the dump.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cairn=$(realpath "$1")
mkdir "$2"
cd "$2"
cp "$here"/*.toml "$here/work.wat" .

# Two plugins from the template of the guests: one traps, the other one takes three seconds.
plugin() { sed "s|^ *(call \$answer (i32.const 48) (i32.const 15))\$|$1|" "$here/../guests/task.wat"; }
plugin 'unreachable' > trap.wat
plugin '(local $end i64) (local.set $end (i64.add (call $now) (i64.const 3000000000))) (loop $wait (br_if $wait (i64.lt_u (call $now) (local.get $end)))) (call $answer (i32.const 48) (i32.const 15))' > slow.wat

# Runs a flow, which must end with this exit code.
run() {
    local exit=$1 name=$2; shift 2
    "$cairn" run "$name.toml" --input '{}' "$@" || [ $? = "$exit" ]
}
# Starts a flow, and sends its process a signal in the second task.
signal() {
    local name=$1 signal=$2
    "$cairn" run "$name.toml" --input '{}' & local process=$!
    until "$cairn" flow list --name "$name" -o jsonl | grep -q '"RUNNING"' &&
        "$cairn" flow events "$(id "$name")" | grep -q 'started .*name=slow'; do
        sleep 0.1
    done
    kill -s "$signal" "$process"
    wait "$process" || true
}
id() { "$cairn" flow list --name "$1" -o jsonl | sed 's/.*"id":"\([^"]*\)".*/\1/'; }

run 0 ended --key ended
run 3 failed
run 5 waiting --no-wait
signal stopped INT
signal killed KILL

if [ "${3:-}" = --dump ]; then
    {
        sqlite3 cairn.db .dump | grep -v "^INSERT INTO facts VALUES('path',"
        echo "PRAGMA user_version = $(sqlite3 cairn.db 'PRAGMA user_version');"
    } > "$here/database.sql"
fi
