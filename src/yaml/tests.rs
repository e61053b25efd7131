//! What texts become, and what is said of those that mislead.

use serde_json::json;

use super::*;

fn read(text: &str) -> (Option<Value>, Vec<&'static str>) {
    let (node, diagnostics) = parse(text, SourceId(0));
    (node.map(|node| node.to_json()), diagnostics.iter().map(|found| found.code).collect())
}

#[track_caller]
fn check(text: &str, expected: Value) {
    assert_eq!(read(text), (Some(expected), vec![]), "{text}");
}

#[track_caller]
fn refused(text: &str, codes: &[&str]) {
    assert_eq!(read(text).1, codes, "{}", text.chars().take(60).collect::<String>());
}

#[test]
fn scalars_have_the_types_of_the_core_schema() {
    check(
        "[1, -2, +3, 0o17, 0x1f, 1.5, 1e3, .5, true, False, ~, null, '', \"a\\nb\", 10.0.0.0/16, 1:30, y, 1_000]",
        json!([
            1,
            -2,
            3,
            15,
            31,
            1.5,
            1000.0,
            0.5,
            true,
            false,
            null,
            null,
            "",
            "a\nb",
            "10.0.0.0/16",
            "1:30",
            "y",
            "1_000"
        ]),
    );
    check("a: !!str 12\nb: |\n  x\n  y\nc: >-\n  x\n  y\n", json!({ "a": "12", "b": "x\ny\n", "c": "x y" }));
    check("a: &x [1]\nb: *x\n", json!({ "a": [1], "b": [1] }));
}

#[test]
fn what_misleads_is_reported() {
    refused("a: 012", &["SPEC010"]);
    refused("a: 99999999999999999999", &["SPEC010"]);
    refused("a: [yes, Off]", &["SPEC010", "SPEC010"]);
    refused("a: .inf", &["SPEC010"]);
    refused("a: {<<: {b: 1}}", &["SPEC010"]);
    refused("a: !mine b", &["SPEC004"]);
    refused("a: *nowhere", &["SPEC004"]);
    refused("a: &x [*x]", &["SPEC007"]);
    refused("{a: 1, a: 2, b: 1, b: 1}", &["SPEC006", "SPEC006"]);
    refused("? [a]\n: b", &["SPEC009"]);
    refused("", &["SPEC003"]);
    refused("---\n", &["SPEC003"]);
    refused("a: 1\n---\nb: 2\n", &["SPEC008"]);
    refused(&"[".repeat(100_000), &["SPEC007"]);
    refused(&format!("a: {}1{}", "[".repeat(64), "]".repeat(64)), &["SPEC007"]);
}

#[test]
fn spans_are_bytes_of_the_text() {
    let text = "ключ: { b: \"é$(x)\" }\nлист:\n  - один\n  - два # …\n";
    let (node, _) = parse(text, SourceId(0));
    let node = node.unwrap();
    let at = |path: &str| {
        let span = &node.node_at(path).unwrap().span;
        &text[span.start..span.end]
    };
    assert_eq!(at("ключ"), "{ b: \"é$(x)\" }");
    assert_eq!(at("ключ.b"), "\"é$(x)\"");
    assert_eq!(at("лист[1]"), "два");
    assert_eq!(at("лист"), "- один\n  - два");
    let part = node.node_at("ключ.b").unwrap().part(4..5, text);
    assert_eq!(&text[part.start..part.end], "x");
}

#[test]
fn bytes_that_are_not_utf8_are_shown_where_they_stand() {
    let mut sources = SourceMap::default();
    let (id, node, diagnostics) = parse_bytes("t", b"a: \xc3\x28", &mut sources);
    assert!(node.is_none());
    let crate::diagnostic::Location::Span(span) = &diagnostics[0].labels[0].location else { panic!("a span") };
    assert_eq!((span.source, span.start), (id, 3));
    let (_, _, utf16) = parse_bytes("t", b"\xff\xfea\0", &mut sources);
    assert!(utf16[0].help.as_deref().unwrap().contains("UTF-16"));
}
