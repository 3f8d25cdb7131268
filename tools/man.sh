#!/bin/sh
# man.sh MCUFC - the manual page, made from --help.
version=$("$1" --version | cut -d' ' -f2)
cat <<END
.TH MCUFC 1 "" "mcufc $version" "User Commands"
.SH NAME
mcufc \- compile a neural network to one C file for a microcontroller
.SH SYNOPSIS
.B mcufc
.I MODEL.onnx
.B \-o
.I MODEL.c
[options]
.SH DESCRIPTION
mcufc reads a trained network (ONNX, or the same graph as text) and writes one
self-contained C99 file whose activations live in one arena with static
offsets: no allocation, no library, a memory use that is known before it runs.
.SH OPTIONS
END
"$1" --help | sed -n '/^  -/p' | while IFS= read -r line; do
    flag=$(printf '%s' "$line" | cut -c3-30 | sed 's/ *$//; s/-/\\-/g')
    text=$(printf '%s' "$line" | cut -c32- | sed 's/-/\\-/g')
    printf '.TP\n.B %s\n%s\n' "$flag" "$text"
done
cat <<'END'
.SH EXIT STATUS
0 success; 1 the model or a file is bad or unsupported; 2 wrong usage;
3 a bug in mcufc; 4 over a budget; 5 \-\-verify found a difference.
.SH ENVIRONMENT
.TP
.B CC, CFLAGS
the compiler and flags that \-\-verify uses
.TP
.B NO_COLOR
plain messages
END
