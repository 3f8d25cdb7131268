#!/bin/sh
# suite.sh FOLDER NAME COMMAND... - runs one suite for check.sh: what it says
# goes to FOLDER/NAME.log, `NAME passed failed skipped` to NAME.result.
log=$1/$2.log result=$1/$2.result name=$2
shift 2
begin=$(date +%s)
"$@" >"$log" 2>&1
status=$?
line=$(grep -E "^$name: [0-9]+ passed, [0-9]+ failed" "$log" | tail -1)
{
    grep -E '^(FAIL|SKIP)' "$log" | head -20
    if [ -z "$line" ]; then
        echo "$name: no result (exit status $status), see $log"
        line="$name: 0 passed, 1 failed"
    else
        echo "$line ($(($(date +%s) - begin)) s)"
    fi
} >"$result.text"
cat "$result.text"              # at once: others run beside
rm "$result.text"
echo "$line" | awk '{ print substr($1, 1, length($1) - 1), $2, $4, $6 + 0 }' \
    >"$result"
