"""Dockerfile instructions of --change, applied to an image's config."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.build.changes import apply_changes
from mydocker.errors import InvalidArgument


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ('CMD ["top", "-b"]', {"Cmd": ["top", "-b"]}),
        ("cmd top -b", {"Cmd": ["/bin/sh", "-c", "top -b"]}),
        ("CMD [ -f /x ] && ls", {"Cmd": ["/bin/sh", "-c", "[ -f /x ] && ls"]}),
        ("CMD []", {}),
        ('ENTRYPOINT ["/init"]', {"Entrypoint": ["/init"]}),
        ("ENV a=1 b='2 3' c=\"x y\" d=4\\ 5", {"Env": ["a=1", "b=2 3", "c=x y", "d=4 5"]}),
        ("ENV key the whole  rest", {"Env": ["key=the whole  rest"]}),
        (
            "EXPOSE 80 53/UDP 8000-8002",
            {"ExposedPorts": {p: {} for p in "80/tcp 53/udp 8000/tcp 8001/tcp 8002/tcp".split()}},
        ),
        ('LABEL a=b "c d"="e f"', {"Labels": {"a": "b", "c d": "e f"}}),
        ("STOPSIGNAL SIGUSR1", {"StopSignal": "SIGUSR1"}),
        ("USER 1000:www", {"User": "1000:www"}),
        ("VOLUME /a /b", {"Volumes": {"/a": {}, "/b": {}}}),
        ('VOLUME ["/a b"]', {"Volumes": {"/a b": {}}}),
        ("WORKDIR /srv//x/../y", {"WorkingDir": "/srv/y"}),
        ("HEALTHCHECK --interval=5s CMD true", {"Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 5 * 10**9}}),
        ("ONBUILD RUN x", {"OnBuild": ["RUN x"]}),
        ("ENV a=1\nLABEL x=$a y=${a:-z} z=${q:-w}", {"Env": ["a=1"], "Labels": {"x": "1", "y": "1", "z": "w"}}),
        ("CMD a \\\n b", {"Cmd": ["/bin/sh", "-c", "a  b"]}),
    ],
)
def test_each_instruction(change, expected):
    assert apply_changes({}, [change]) == expected


@pytest.mark.parametrize(
    "change",
    [
        *(
            "",
            "ENV",
            "USER ",
            "FROM x",
            "SHELL ['/bin/x']",
            "RUN ls",
            "nonsense",
            "CMD [",
            "CMD ['a']",
            "ENTRYPOINT [1]",
            "ENV a",
            "ENV =b",
        ),
        *(
            "ENV a='b",
            'LABEL "=x',
            "LABEL a=b c",
            "EXPOSE x",
            "EXPOSE 65536",
            "EXPOSE 9-8",
            "EXPOSE 1/icmp",
        ),
        *("STOPSIGNAL SIGNOSUCH", "WORKDIR ${", "USER ${a b}", "WORKDIR $NOTHING"),
    ],
)
def test_an_invalid_change_is_an_error_that_names_it(change):
    with pytest.raises(InvalidArgument) as caught:
        apply_changes({}, [change])
    assert repr(change)[1:-1].replace("\\'", "'")[:4] in str(caught.value)


def test_changes_add_to_the_config_and_do_not_modify_the_old_one():
    old = {"Env": ["PATH=/bin", "a=1"], "Labels": {"x": "1"}, "WorkingDir": "/a", "Volumes": {"/v": {}}, "Other": 1}
    copy = {key: value.copy() if isinstance(value, (list, dict)) else value for key, value in old.items()}
    new = apply_changes(old, ["ENV PATH=/x:$PATH a=${a}2", "LABEL y=2", "WORKDIR b", "VOLUME /w"])
    assert new == {
        "Env": ["PATH=/x:/bin", "a=12"],
        "Labels": {"x": "1", "y": "2"},
        "WorkingDir": "/a/b",
        "Volumes": {"/v": {}, "/w": {}},
        "Other": 1,
    }
    assert old == copy


def test_a_new_entrypoint_drops_the_old_command_but_not_a_new_one():
    assert apply_changes({"Cmd": ["old"]}, ['ENTRYPOINT ["e"]']) == {"Entrypoint": ["e"]}
    assert apply_changes({}, ['CMD ["new"]', 'ENTRYPOINT ["e"]']) == {"Cmd": ["new"], "Entrypoint": ["e"]}


@given(st.text())
def test_any_text_is_parsed_or_refused(text):
    try:
        apply_changes({}, [f"ENV {text}", f"CMD {text}", f"EXPOSE {text}"])
    except InvalidArgument:
        pass
