use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::*;

#[test]
fn writes_as_go_does() {
    let text = |value: &dyn erased::Value| String::from_utf8(value.encode()).unwrap();
    for (value, expected) in [
        (&"<a href=\"x\">&\\/" as &dyn erased::Value, r#""\u003ca href=\"x\"\u003e\u0026\\/""#),
        (&"\u{2028}\u{2029}\u{2027}é\u{1f600}", "\"\\u2028\\u2029\u{2027}é\u{1f600}\""),
        (&"\0\u{1f}\u{7f}\u{8}\u{c}\n\r\t", "\"\\u0000\\u001f\u{7f}\\b\\f\\n\\r\\t\""),
        (&1.0, "1"),
        (&-0.0, "-0"),
        (&0.1, "0.1"),
        (&1e20, "100000000000000000000"),
        (&1e21, "1e+21"),
        (&-1.5e300, "-1.5e+300"),
        (&1e-6, "0.000001"),
        (&9.9e-7, "9.9e-7"),
        (&5e-324, "5e-324"),
        (&f64::MAX, "1.7976931348623157e+308"),
        (&0.1_f32, "0.1"),
        (&1e21_f32, "1e+21"),
        (&i64::MIN, "-9223372036854775808"),
        (&u64::MAX, "18446744073709551615"),
        (&None::<u8>, "null"),
        (&Vec::<u8>::new(), "[]"),
        (&BTreeMap::from([("b", 1), ("B", 2), ("a", 3), ("é", 4)]), r#"{"B":2,"a":3,"b":1,"é":4}"#),
    ] {
        assert_eq!(text(value), expected);
    }
    let raw = "{ \"b\" : [1.50e3,\t\"<\\u003c \\\" \u{2028}\" ] ,\n\"a\":{}, \"a\":null}";
    let raw: Box<RawValue> = serde_json::from_str(raw).unwrap();
    let expected = r#"{"b":[1.50e3,"\u003c\u003c \" \u2028"],"a":{},"a":null}"#;
    assert_eq!(text(&raw), expected);
}

#[test]
fn indents_as_go_does() {
    let raw = r#"{"a":[],"b":{},"c":[1,{"d":"x:{,}\"["}],"e":null}"#;
    let raw: Box<RawValue> = serde_json::from_str(raw).unwrap();
    let expected = "{\n>  \"a\": [],\n>  \"b\": {},\n>  \"c\": [\n>    1,\n>    {\n>      \"d\": \
                    \"x:{,}\\\"[\"\n>    }\n>  ],\n>  \"e\": null\n>}";
    let got = to_vec_indent(&raw, ">", "  ").unwrap();
    assert_eq!(String::from_utf8(got).unwrap(), expected);
    assert_eq!(to_vec_indent(&Vec::<u8>::new(), "", "    ").unwrap(), b"[]");
    assert_eq!(to_vec_indent(&"x", "", "    ").unwrap(), b"\"x\"");
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Outer {
    name: String,
    two_words: i64,
    list: Vec<Inner>,
    inner: Inner,
    map: BTreeMap<String, String>,
    maybe: Option<Inner>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Inner {
    k: String,
    s: String,
}

#[test]
fn reads_as_go_does() {
    let inner = |k: &str, s: &str| Inner { k: k.into(), s: s.into() };
    let name = |name: &str| Outer { name: name.into(), ..Outer::default() };
    for (text, expected) in [
        ("{}", Some(Outer::default())),
        ("null", Some(Outer::default())),
        (r#"{"name":null,"list":null,"inner":null,"map":null,"two":1}"#, Some(Outer::default())),
        (r#"{"NAME":"a"}"#, Some(name("a"))),
        (r#"{"name":"a","Name":"b"}"#, Some(name("b"))), // the last counts
        (r#"{"Name":"b","name":"a"}"#, Some(name("a"))),
        (r#"{"name":"a","NAME":"b","name":"c"}"#, Some(name("c"))),
        (r#"{"TWOwords":2}"#, Some(Outer { two_words: 2, ..Outer::default() })),
        (
            r#"{"inner":{"K":"1"},"INNER":{"S":"2"}}"#, // objects are merged
            Some(Outer { inner: inner("1", "2"), ..Outer::default() }),
        ),
        (
            "{\"inner\":{\"\u{212a}\":\"1\",\"\u{17f}\":\"2\"}}", // they fold to k and s
            Some(Outer { inner: inner("1", "2"), ..Outer::default() }),
        ),
        (
            r#"{"list":[{"k":"1"},{}],"maybe":{}}"#,
            Some(Outer {
                list: vec![inner("1", ""), Inner::default()],
                maybe: Some(Inner::default()),
                ..Outer::default()
            }),
        ),
        (
            r#"{"map":{"a":"1","A":"2","a":null}}"#, // keys of maps do not fold
            Some(Outer {
                map: [("a".into(), String::new()), ("A".into(), "2".into())].into(),
                ..Outer::default()
            }),
        ),
        (r#"{"name":1}"#, None),
        (r#"{"inner":[]}"#, None),
        (r#"{"list":{}}"#, None),
        (r#"{"twoWords":1.5}"#, None),
        (r#"{"twoWords":"1"}"#, None),
        (r#"{"twoWords":9223372036854775808}"#, None),
        ("[]", None),
        ("{} {}", None),
        ("", None),
    ] {
        assert_eq!(from_slice::<Outer>(text.as_bytes()).ok(), expected, "{text}");
    }
    let got: Outer = from_slice(b"{\"name\":\"\xe2\x82x\xff\"}").unwrap();
    assert_eq!(got.name, "\u{fffd}\u{fffd}x\u{fffd}");
}

#[test]
fn deep_and_long_input_is_an_error_or_fine() {
    for (open, close) in [("[", "]"), ("{\"list\":", "}")] {
        let deep = open.repeat(100_000);
        assert!(from_slice::<Outer>(deep.as_bytes()).is_err());
        let closed = format!("{}0{}", open.repeat(200), close.repeat(200));
        assert!(from_slice::<Outer>(closed.as_bytes()).is_err());
    }
    let long = format!("{{\"list\":[{}{{}}]}}", "{},".repeat(300_000));
    assert_eq!(from_slice::<Outer>(long.as_bytes()).unwrap().list.len(), 300_001);
}

proptest! {
    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = from_slice::<Outer>(&bytes);
    }

    #[test]
    fn what_is_written_is_read_back(text in any::<String>(), number in any::<f64>()) {
        let written = to_vec(&text).unwrap();
        prop_assert!(!written.iter().any(|b| b"<>&".contains(b)));
        prop_assert_eq!(serde_json::from_slice::<String>(&written).unwrap(), text);
        if number.is_finite() {
            let written = String::from_utf8(to_vec(&number).unwrap()).unwrap();
            prop_assert_eq!(written.parse::<f64>().unwrap(), number);
        }
    }
}

/// Rows of different types in one table.
mod erased {
    pub(super) trait Value {
        fn encode(&self) -> Vec<u8>;
    }

    impl<T: serde::Serialize> Value for T {
        fn encode(&self) -> Vec<u8> {
            super::to_vec(self).unwrap()
        }
    }
}
