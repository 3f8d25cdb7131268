#!/bin/sh
# html.sh BUILD - the HTML report: complete, self-contained, safe against
# names; where chromium is installed, drawn and worked as a user does.
suite=html
. "$(dirname "$0")/lib.sh"

lacks() { ! grep -nE "$1" "$2"; }

# one op; or no bytes; or a state; or N values that all live until they are
# joined; or names that try to end the script element
model()
{
    case $1 in
    one) printf '%s\n' '<ir_version: 10, opset_import: ["" : 21]>' \
        'one (float[4] x) => (float[4] y) { y = Relu(x) }' ;;
    none) printf '%s\n' '<ir_version: 10, opset_import: ["" : 21]>' \
        'none (float[0] x) => (float[0] y) { y = Relu(x) }' ;;
    state) printf '%s\n' '<ir_version: 10, opset_import: ["" : 21]>' \
        'm (float[8] x, float[8] h) => (float[8] y, float[8] g) {' \
        '  g = Sub(x, h)' '  y = Sin(g)' '}' ;;
    many) awk -v n="$2" 'BEGIN {
        print "<ir_version: 10, opset_import: [\"\" : 21]>"
        print "many (float[64] x) => (float[" 64 * n "] y) {"
        for (i = 0; i < n; i++) {
            print "  a" i " = Sin(" (i ? "a" i - 1 : "x") ")"
            list = list (i ? ", " : "") "a" i
        }
        print "  y = Concat <axis = 0> (" list ")\n}" }' ;;
    names) printf '%s\n' '<ir_version: 10, opset_import: ["" : 21]>' \
        'm (float[4] x) => (float[4] "</script><b>") {' \
        '  "<!--<script>" = Sin(x)' \
        '  "</script><b>" = Add("<!--<script>", x)' '}' ;;
    esac
}

json_of()       # HTML file: the plan as the page's script reads it
{
    sed -n '/<script type="application\/json"/,/<\/script>/p' "$1" |
        sed '1d;$d'
}

same_plan()     # the page holds what --report-format json says
{
    json_of "$1" >"$out/page.json"
    python3 - "$out/page.json" "$2" <<'END'
import json, sys
a, b = (json.load(open(f, encoding="utf-8")) for f in sys.argv[1:])
assert a == b, "the page's plan differs"
assert all(s["live_bytes"] <= a["arena"]["bytes"] for s in a["steps"])
for f in a["buffers"]:
    assert f["kind"] == "scratch" or f["values"], f
    for v in f["values"]:
        assert f["first_step"] <= v["first_step"], v
        assert v["last_step"] <= f["last_step"], v
        assert 0 <= v["at"] <= f["bytes"] - v["bytes"], v
END
}

worked()        # HTML file, number of buffers: as html.js finds it
{
    { cat "$1"; echo '<script>'; cat tests/e2e/html.js; echo '</script>'; } \
        >"$out/worked.html"
    timeout 120 "$chromium" --headless --no-sandbox --disable-gpu \
        --user-data-dir="$PWD/$out/profile" --dump-dom \
        "file://$PWD/$out/worked.html" >"$out/dom" 2>"$out/chromium.log"
    n=$(grep -o 'role="option"' "$out/dom" | wc -l)
    [ "$n" = "$2" ] || { echo "$n rectangles, not $2"; return 1; }
    grep -q 'data-tested="good"' "$out/dom" && return
    grep -o 'data-tested="[^"]*"' "$out/dom" || echo "the script failed"
    return 1
}

page()          # name, model file, options...
{
    name=$1 file=$2
    shift 2
    html=$out/$name.html
    truth "$name: written" "$build/mcufc" -q "$file" --report="$html" "$@"
    truth "$name: complete" grep -q '^</html>' "$html"
    truth "$name: no placeholder is left" lacks '^@[A-Z]+@' "$html"
    truth "$name: no network" lacks \
        'https?:|<link|<img|src=|@import|url\([^#]' "$html"
    truth "$name: names do not end the script" \
        [ "$(grep -c '</script>' "$html")" = 2 ]
    "$build/mcufc" -q "$file" --report="$out/$name.json" "$@"
    if command -v python3 >/dev/null 2>&1; then
        truth "$name: plan" same_plan "$html" "$out/$name.json"
    else
        skip "$name: plan (no python3)"
    fi
    if [ -n "$chromium" ]; then
        truth "$name: drawn and worked" worked "$html" \
            "$(grep -c '"kind": "' "$out/$name.json")"
    else
        skip "$name: drawn and worked (no chromium)"
    fi
}

chromium=$(command -v chromium || command -v chromium-browser)
for m in one none state names; do model $m >"$out/$m.mcu"; done
model many 1000 >"$out/many.mcu"
page one "$out/one.mcu"
page none "$out/none.mcu"
page state "$out/state.mcu" --state h=g --keep-inputs
page apart "$out/state.mcu" --no-reuse --arena 100K
page names "$out/names.mcu"
page many "$out/many.mcu" --arena 600K
page loops tests/golden/region/heads.mcu
page overlap tests/golden/overlap/backward.mcu --arena 4K
page vit examples/vit-mnist/vit_mnist.onnx --arena 64K
"$build/mcufc" -q "$out/one.mcu" --report --report-format html \
    >"$out/stdout.html"
truth "stdout" cmp "$out/stdout.html" "$out/one.html"
rm -rf "$out/profile"
finish
