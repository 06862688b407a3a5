# SPDX-License-Identifier: GPL-2.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from harness.kernel.variant import Variant, parse

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,12}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "variant"),
    [
        ("debian-6.1", Variant("debian-6.1")),
        ("debian-6.1+gfp-unmapped@v1", Variant("debian-6.1", "gfp-unmapped", "v1")),
        ("git:/src/linux@v6.3", Variant("git:/src/linux@v6.3")),
        ("git:/src/linux@v6.3+fix@v2", Variant("git:/src/linux@v6.3", "fix", "v2")),
        ("debian-6.1+fix@v2:10", Variant("debian-6.1", "fix", "v2", 10)),
        ("git:/src/linux@v6.3+fix@v2:3", Variant("git:/src/linux@v6.3", "fix", "v2", 3)),
        ("tree:/home/c++/linux", Variant("tree:/home/c++/linux")),
        ("tree:/home/c++/linux+fix@v2", Variant("tree:/home/c++/linux", "fix", "v2")),
        ("tarball:/a.tar.xz#sha256=0f", Variant("tarball:/a.tar.xz#sha256=0f")),
    ],
)
def test_forms(text: str, variant: Variant) -> None:
    assert parse(text) == variant
    assert str(variant) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no base"),
        ("+fix@v1", "is no base"),
        ("debian-6.1+fix", "series 'fix' has no version"),
        ("debian-6.1+fix@", "no SERIES@VERSION"),
        ("debian-6.1+@v1", "no SERIES@VERSION"),
        ("debian-6.1+fix@v1:", "no SERIES@VERSION"),
        ("debian-6.1+fix@v1:0", "no SERIES@VERSION"),
        ("debian-6.1+fix@v1:x", "no SERIES@VERSION"),
        ("debian-6.1+fix@v1:\N{ARABIC-INDIC DIGIT ONE}", "no SERIES@VERSION"),
        ("debian 6.1", "is no base"),
        ("/src/linux", "is no base"),
        ("svn:/src/linux", "no kind of base is called 'svn'"),
        ("git:", "is no base"),
    ],
)
def test_what_has_no_such_form_is_refused(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        parse(text)
    assert caught.value.hint


@given(base=NAMES, series=NAMES, version=NAMES, upto=st.integers(0, 9999))
def test_a_variants_text_gives_it_back(base: str, series: str, version: str, upto: int) -> None:
    for variant in (Variant(base), Variant(base, series, version, upto)):
        assert parse(str(variant)) == variant


@given(st.text())
def test_any_text_is_a_variant_or_a_user_error(text: str) -> None:
    try:
        assert str(parse(text)) == text
    except UserError as error:
        assert repr(text) in str(error)


def test_a_slug_is_a_file_name() -> None:
    assert parse("git:/src/linux@v6.3+fix@v2").slug == "git-src-linux@v6.3+fix@v2"
