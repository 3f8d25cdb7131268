#!/bin/sh
# conformance.sh BUILD - the ONNX backend tests (Debian: libonnx-testdata),
# through the runner of ../shared. Passed are the cases that pass; refusals
# with a message are counted as skipped; everything else has failed.
cd "$(dirname "$0")/../.." || exit 1
build=$(cd "${1:-build}" && pwd)
shared=${MCUFC_SHARED:-../shared}
data=${ONNX_DATA:-/usr/share/libonnx-testdata/data}
if [ ! -d "$data" ] || [ ! -f "$shared/conformance/conform.py" ] ||
   ! /usr/bin/python3 -c 'import onnx, numpy' 2>/dev/null; then
    echo "SKIP conformance: no $shared/conformance, libonnx-testdata or python3-onnx"
    echo "conformance: 0 passed, 0 failed, 1 skipped"
    exit 0
fi
MCUFC=$build/mcufc /usr/bin/python3 "$shared/conformance/conform.py" mcufc \
    -j 2 --work "$build/conformance/work" --out "$build/conformance"
results=$build/conformance/mcufc.txt
grep -vE '^(pass|tool-reject|not-tensor|no-model)' "$results" |
    sed 's/^/FAIL /'
awk '$1 == "pass" { p++ }
     $1 ~ /^(tool-reject|not-tensor|no-model)$/ { s++ }
     END { printf "conformance: %d passed, %d failed, %d skipped\n",
           p, NR - p - s, s }' "$results"
