# lib.sh - what the suites of this folder share. A script says
#     suite=NAME; . "$(dirname "$0")/lib.sh"
# is then at the top of the tree, has $build (its first word), $mcufc,
# $shared, an empty folder $out and these functions, and ends with `finish`.
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build}
mcufc=$build/mcufc
shared=${MCUFC_SHARED:-../shared}
out=$build/$suite
rm -rf "$out"
mkdir -p "$out"
passed=0 failed=0 skipped=0
strict="-std=c99 -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion
        -Wshadow -Wmissing-prototypes -Wdouble-promotion -Werror"

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAIL $1"; }
skip() { skipped=$((skipped + 1)); echo "SKIP $1"; }

finish()
{
    echo "$suite: $passed passed, $failed failed, $skipped skipped"
    [ $failed = 0 ]
    exit
}

truth()         # what, command that must succeed
{
    what=$1
    shift
    if "$@" >"$out/log" 2>&1; then ok
    else bad "$what"; head -3 "$out/log"; fi
}

check()         # what, wanted exit status, pattern in the output, command...
{
    what=$1 want=$2 pattern=$3
    shift 3
    "$@" >"$out/log" 2>&1
    status=$?
    if [ $status = "$want" ] &&
       { [ -z "$pattern" ] || grep -qE -e "$pattern" "$out/log"; }; then
        ok
    else
        bad "$what: exit $status (wanted $want), pattern '$pattern'"
        head -3 "$out/log"
    fi
}

# awk functions that write constants of a text: each weight is a function of
# (matrix, row, column), so that a narrower model has a prefix of a wider one.
awk_weights='
    function w(k, i, j) { return sin(k * 7.1 + i * 3.3 + j * 1.7) }
    function matrix(name, k, rows, cols,    i, j, s) {
        s = sprintf("float[%d,%d] %s = {", rows, cols, name)
        for (i = 0; i < rows; i++) for (j = 0; j < cols; j++)
            s = s sprintf("%s%.6f", i + j ? ", " : "", w(k, i, j))
        return s "}"
    }
    function vector(name, k, n,    j, s) {
        s = sprintf("float[%d] %s = {", n, name)
        for (j = 0; j < n; j++)
            s = s sprintf("%s%.6f", j ? ", " : "", w(k, 0, j))
        return s "}"
    }'
