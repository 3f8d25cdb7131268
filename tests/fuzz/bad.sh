#!/bin/sh
# bad.sh MCUFC - every model of tests/data/bad must be refused: exit code 1,
# an error that names the file and says what expect.tsv wants, no output
# file, at most 512 MiB and 1 s of CPU (2 by the clock of the shell's limit).
mcufc=${1:-build/mcufc}
bad=$(dirname "$0")/../data/bad
out=$(mktemp -d) || exit 2
failed=0 count=0
tab=$(printf '\t')

while IFS=$tab read -r name message; do
    count=$((count + 1))
    (
        [ -n "$NO_LIMIT" ] || ulimit -v 524288
        ulimit -t 2
        exec "$mcufc" "$bad/$name.onnx" -o "$out/m.c"
    ) > "$out/log" 2>&1
    code=$?
    if [ $code -ne 1 ] || [ -e "$out/m.c" ] ||
        ! grep -q -- "$name.onnx: error: .*$message" "$out/log"; then
        echo "$name: exit code $code, wanted 1 and '$message':"
        head -3 "$out/log"
        failed=$((failed + 1))
        rm -f "$out/m.c"
    fi
done < "$bad/expect.tsv"
rm -r "$out"
echo "$count bad models, $failed not refused as they should be"
[ $failed -eq 0 ]
