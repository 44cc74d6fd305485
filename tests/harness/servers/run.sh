#!/usr/bin/env bash
# Runs a server for as long as someone holds the other end of our standard input: run.sh COMMAND…
# However a test ends, its end of the pipe closes, and the whole process group goes with it.
exec 3<&0
(
    read -r _ <&3
    kill -KILL 0
) &
watcher=$!
# Signals go to the whole group: the server decides when it ends.
trap : TERM
"$@" </dev/null 3<&- &
server=$!
while true; do
    wait "$server"
    code=$?
    kill -0 "$server" 2>/dev/null || break
done
kill -KILL "$watcher" 2>/dev/null
exit "$code"
