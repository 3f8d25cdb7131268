#!/bin/sh
# plan.sh BUILD - mcufc-plan: exit codes, messages, and the plans of the
# allocation instances of ../shared through check_plan.py.
plan=${1:-build}/mcufc-plan
here=$(dirname "$0")
shared=${MCUFC_SHARED:-$here/../../../shared}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0 skipped=0

# expect CODE PATTERN ARGS...: the CSV is in $dir/in
expect() {
    code=$1 pattern=$2
    shift 2
    "$plan" - "$@" < "$dir/in" > "$dir/out" 2>&1
    got=$?
    if [ $got -ne "$code" ] || ! grep -q "$pattern" "$dir/out"; then
        echo "FAIL: exit $got (want $code), want '$pattern', got:"
        cat "$dir/out"
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
}

good='id,lower,upper,size
a,0,2,4
b,1,3,4
c,2,4,4'
echo "$good" > "$dir/in"; expect 0 'height=8 .*proved=yes' --minimize
echo "$good" > "$dir/in"; expect 0 '^solved' --capacity 8
echo "$good" > "$dir/in"; expect 4 '^infeasible' --capacity 7
echo "$good" > "$dir/in"; expect 0 'b,1,3,4,' --minimize -o -
echo "$good" > "$dir/in"; expect 2 'either --capacity' --minimize --capacity 8
echo "$good" > "$dir/in"; expect 2 'either --capacity'
echo "$good" > "$dir/in"; expect 2 'positive number' --capacity x
echo "$good" > "$dir/in"; expect 2 'positive number' --capacity
echo "$good" > "$dir/in"; expect 2 'unknown option --fast' --fast
echo "$good" > "$dir/in"; expect 2 'more than one file' more --minimize
printf 'id,lower,upper\na,0,1\n' > "$dir/in"
expect 1 "1: .*'size' is missing" --minimize
printf 'id,lower,upper,size\na,3,3,1\n' > "$dir/in"
expect 1 '2: .*not below' --minimize
printf 'id,lower,upper,size\na,0,1,-5\n' > "$dir/in"
expect 1 '2: .*negative' --minimize
printf 'id,lower,upper,size\na,0,1,5k\n' > "$dir/in"
expect 1 "2: .*'5k' is not a number" --minimize
printf 'id,lower,upper,size\na,0,1,1\na,1,2,1\n' > "$dir/in"
expect 1 "3: .*'a' twice" --minimize
printf 'id,lower,upper,size\na,0,1,99999999999999999999\n' > "$dir/in"
expect 1 '2: .*does not fit 64 bits' --minimize
printf 'id,lower,upper,size\na,0,1,9000000000000000000\n' > "$dir/in"
expect 1 '2: .*more than 2^60' --minimize
printf 'id,lower,upper,size\na,0,1\n' > "$dir/in"
expect 1 '2: 3 fields\|2: .*3 fields' \
    --minimize
printf 'id,lower,upper,size,gaps\na,0,1,1,\n' > "$dir/in"
expect 1 "1: .*unknown column 'gaps'" --minimize
printf 'id,lower,upper,size,alignment\na,0,1,1,0\n' > "$dir/in"
expect 1 '2: .*alignment 0' --minimize
printf '' > "$dir/in"
expect 1 'no line with the column names' --minimize
printf 'size,id,upper,lower\r\n 4, a, 2, 0\r\n\r\n' > "$dir/in"
expect 0 'height=4 ' --minimize

instance()      # file, wanted height (0: any)
{
    if [ ! -f "$1" ] || ! command -v python3 >/dev/null 2>&1; then
        skipped=$((skipped + 1))
        echo "SKIP $1: not here, or no python3"
        return
    fi
    "$plan" "$1" --minimize --nodes 100000 -o "$dir/p.csv" > "$dir/out"
    height=$(python3 "$here/check_plan.py" "$dir/p.csv" "$1")
    if grep -q "height=$height " "$dir/out" &&
       { [ "$2" = 0 ] || [ "$2" = "$height" ]; }; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $1: height '$height', wanted $2"
    fi
}

for i in A B E F G H I K; do
    instance "$shared/planner/$i.1048576.csv" 1048576
done
instance "$shared/planner/C.1048576.csv" 1039360
instance "$shared/planner/large/G_1.csv" 3030937746
for i in ad ic kws pd sww vww; do
    instance "$shared/planner/tinyml/$i.csv" 0
done
echo "plan: $passed passed, $failed failed, $skipped skipped"
