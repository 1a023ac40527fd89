#!/bin/sh
# Expected: dockerfile-parse reads a Dockerfile as docker does. A here-document belongs to its RUN, ${NAME:-word} and ${NAME:+word} are
# substituted in ENV, and an empty line inside a continuation is skipped.
# Observed (dockerfile-parse 2.0.1): none of the three. A line of a here-document that reads LABEL becomes a label of the image; ${A:-z}
# becomes the value of A followed by ":-z}"; the line after an empty one becomes an instruction. There is no error in any case.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check dockerfile-parse==2.0.1 six==1.17.0
cat >"$work/look.py" <<'PYTHON'
import io

from dockerfile_parse import DockerfileParser


def parsed(text):
    parser = DockerfileParser(fileobj=io.BytesIO())
    parser.content = text
    return parser


print(parsed("FROM a\nRUN <<EOF\necho\nLABEL from=script\nEOF\n").labels)
print(parsed("FROM a\nENV A=x\nENV B=${A:-z} C=${A:+w}\n").envs)
print([step["instruction"] for step in parsed("FROM a\nRUN one \\\n\n  two\n").structure])
PYTHON
seen=$("$work/venv/bin/python" "$work/look.py")
expected="{'from': 'script'}
{'A': 'x', 'B': 'x:-z}', 'C': 'x:+w}'}
['FROM', 'RUN', 'TWO']"
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; it was:\n%s\n' "$expected"; exit 1; }
