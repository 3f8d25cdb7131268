#!/bin/sh
# layers.sh - who may include whom: only downwards, never a sibling.
# compiler -> ptq, compress -> passes; compiler -> frontend, passes, codegen -> ir
# -> support
cd "$(dirname "$0")/.." || exit 1
bad=0
forbid()        # folder, pattern of what its files must not include
{
    if grep -nE "#include \"[^\"]*($2)" -r "$1" --include='*.[chly]'; then
        echo "layers: $1/ includes what it may not ($2)"
        bad=1
    fi
}
forbid support 'ir/|frontend/|passes/|ptq/|compress/|codegen/|compiler/'
forbid ir 'frontend/|passes/|ptq/|compress/|codegen/|compiler/'
forbid frontend 'passes/|ptq/|compress/|codegen/|compiler/'
forbid frontend/onnx '/dsl/|/build/'
forbid frontend/dsl '/onnx/|/build/'
forbid frontend/build '/onnx/|/dsl/'
forbid ptq 'frontend/|compress/|codegen/|compiler/'
forbid compress 'frontend/|ptq/|codegen/|compiler/'
forbid passes 'frontend/|ptq/|compress/|codegen/|compiler/'
forbid codegen 'frontend/|passes/|ptq/|compress/|compiler/'
exit $bad
