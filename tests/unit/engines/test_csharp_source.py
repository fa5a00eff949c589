"""The algorithm's class in C# source."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engines.csharp_source import find_algorithms, find_classes
from tests.support.patience import PATIENCE

BLOCK = """
using QuantConnect.Algorithm;
namespace Shop.Algos
{
    /* class Old : QCAlgorithm {} */
    // class Older : QCAlgorithm {}
    public class Strategy : QCAlgorithm
    {
        private string text = "} class Inner : QCAlgorithm {";
        private char brace = '}';
        private string path = @"C:\\";
        public override void Initialize() { var x = $"{text}}}"; }
    }
}
"""


def names(*sources: str) -> list[str]:
    return [one.name for one in find_algorithms(sources)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (BLOCK, ["Shop.Algos.Strategy"]),
        ("namespace A.B;\npublic class S : QCAlgorithm { }", ["A.B.S"]),
        ("class S : QCAlgorithm { }", ["S"]),
        ("namespace A { namespace B { class S : QuantConnect.Algorithm.QCAlgorithm { } } }", ["A.B.S"]),
        ("namespace A { class Outer { class S : global::QuantConnect.Algorithm.QCAlgorithm { } } }", ["A.Outer+S"]),
        ("namespace A { class S<T> : QCAlgorithm { } class R : S<int> { } }", ["A.R"]),
        ("namespace A { abstract class S : QCAlgorithm { } sealed class R : S, IFoo<int, string> { } }", ["A.R"]),
        ("namespace A { public abstract class S : QCAlgorithm { } }", []),
        ("namespace A { class S(int n) : QCAlgorithm { } class R() : S(3) { } }", ["A.R"]),
        ("using Base = QuantConnect.Algorithm.QCAlgorithm; class S : Base { }", ["S"]),
        ("namespace A { class S : IRegression, QCAlgorithm { } }", ["A.S"]),
        ("namespace A { class QCAlgorithmUser { } class S : List<QCAlgorithm> { } }", []),
        ("namespace A { void F<T>() where T : class { } class S : QCAlgorithm { } }", ["A.S"]),
        ("namespace A { class X { } }\nnamespace B { class S : QCAlgorithm { } }", ["B.S"]),
        (
            'namespace A { class S : QCAlgorithm { string t = """\n } class R : QCAlgorithm { "quoted" \n"""; } }',
            ["A.S"],
        ),
        (
            'namespace A { class S : QCAlgorithm { string t = @"a ""}"" b"; } class R : QCAlgorithm { } }',
            ["A.S", "A.R"],
        ),
        ("#region it's\nnamespace A { class S : QCAlgorithm { } }\n#endregion", ["A.S"]),
        ("", []),
        ("class", []),
    ],
)
def test_algorithms(source: str, expected: list[str]) -> None:
    """Comments and strings are no code; a namespace is part of the name, of either form; nested classes have a plus."""
    assert names(source) == expected


def test_bases_and_parts_may_be_in_other_files() -> None:
    """A class derives through a class of another file; one part of a partial class names its base."""
    base = "namespace A { public abstract class Base : QCAlgorithm { } }"
    first = "namespace A { public partial class S : Base { } }"
    second = "namespace A { public partial class S { void F() { } } }"

    assert names(second, first, base) == ["A.S"]


def test_recorded_algorithms(recorded_lean_runs: Path) -> None:
    """The classes of the algorithms whose runs of LEAN were recorded."""
    source = (recorded_lean_runs.parent / "algorithms" / "csharp.cs").read_text("utf-8")

    found = {one.simple_name for one in find_algorithms([source])}

    assert {"BuyAndHoldAlgorithm", "PacedAlgorithm"} <= found


@given(st.text(alphabet="class namepQCAlgorithm:{}()<>;\"'@$/*#\n\\., ", max_size=300))
def test_any_text_is_read(text: str) -> None:
    """No text makes the search fail, and names are never empty."""
    assert all(one.name for one in find_classes(text))


@given(st.lists(st.from_regex(r"[A-Z][a-z]{1,8}", fullmatch=True), min_size=2, max_size=5, unique=True))
def test_any_chain_of_bases(chain: list[str]) -> None:
    """Of a chain of classes in any order of declaration each one is an algorithm."""
    bases = ["QCAlgorithm", *chain]
    source = "namespace N;" + "".join(f"class {name} : {base} {{}}" for name, base in zip(chain, bases, strict=False))

    assert sorted(names(source)) == sorted(f"N.{name}" for name in chain)


@pytest.mark.parametrize("piece", ["class A<", "class A : ", "class A(", "abstract ", '"""', "/*", "'", "where T : "])
def test_long_text_takes_no_long_time(piece: str) -> None:
    """The search is not quadratic."""
    began = time.monotonic()
    find_classes(piece * 5_000)

    assert time.monotonic() - began < PATIENCE
