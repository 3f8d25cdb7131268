#!/bin/sh
# suite_layers.sh - layers.sh as a test suite.
if "$(dirname "$0")/layers.sh"; then
    echo "layers: 1 passed, 0 failed"
else
    echo "FAIL layers"
    echo "layers: 0 passed, 1 failed"
fi
