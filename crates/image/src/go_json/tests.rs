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
    let long = format!("{{\"list\":[{}{{}}]}}", "{},".repeat(100_000));
    assert_eq!(from_slice::<Outer>(long.as_bytes()).unwrap().list.len(), 100_001);
}

/// What Go 1.24 makes of members that come twice: each is read into what the one before left.
#[test]
fn doubled_members_are_read_one_into_the_other() {
    let inner = |k: &str, s: &str| Inner { k: k.into(), s: s.into() };
    for (text, expected) in [
        (
            r#"{"list":[{"k":"1","s":"1"},{"k":"2"}],"List":[{"k":"3"}]}"#,
            Some(Outer { list: vec![inner("3", "1")], ..Outer::default() }),
        ),
        (
            r#"{"list":[{"k":"1"}],"list":[{"s":"2"},{"s":"3"}]}"#,
            Some(Outer { list: vec![inner("1", "2"), inner("", "3")], ..Outer::default() }),
        ),
        (r#"{"list":[{"k":"1"}],"list":null}"#, Some(Outer::default())),
        (r#"{"list":[{"k":"1"}],"list":[]}"#, Some(Outer::default())),
        (
            r#"{"list":[{"k":"1"}],"list":[],"list":[{"s":"2"}]}"#,
            Some(Outer { list: vec![inner("", "2")], ..Outer::default() }),
        ),
        (
            r#"{"inner":{"k":"1"},"inner":null,"inner":{"s":"2"}}"#, // null leaves a struct
            Some(Outer { inner: inner("1", "2"), ..Outer::default() }),
        ),
        (
            r#"{"maybe":{"k":"1"},"maybe":null,"maybe":{"s":"2"}}"#, // and empties a pointer
            Some(Outer { maybe: Some(inner("", "2")), ..Outer::default() }),
        ),
        (r#"{"maybe":{"k":"1"},"maybe":null}"#, Some(Outer::default())),
        (
            r#"{"map":{"a":"1","b":"1"},"MAP":{"b":"2"}}"#,
            Some(Outer {
                map: [("a".into(), "1".into()), ("b".into(), "2".into())].into(),
                ..Outer::default()
            }),
        ),
        (
            r#"{"map":{"a":"1"},"map":null,"map":{"b":"2"}}"#,
            Some(Outer { map: [("b".into(), "2".into())].into(), ..Outer::default() }),
        ),
        (r#"{"name":"a","name":null}"#, Some(Outer { name: "a".into(), ..Outer::default() })),
        (r#"{"twoWords":5,"twoWords":null}"#, Some(Outer { two_words: 5, ..Outer::default() })),
        (r#"{"name":1,"name":"a"}"#, None),
        (r#"{"list":{},"list":[]}"#, None),
        (r#"{"map":[],"map":{}}"#, None),
        (r#"{"inner":1,"inner":{}}"#, None),
    ] {
        assert_eq!(from_slice::<Outer>(text.as_bytes()).ok(), expected, "{text}");
    }
}

#[test]
fn texts_and_numbers_are_gos() {
    for (text, expected) in [
        (r#""\ud83d\ude00""#, Some("\u{1f600}")),
        (r#""\ud83d""#, Some("\u{fffd}")),
        (r#""\ud83dx""#, Some("\u{fffd}x")),
        (r#""\ud83d\u0041""#, Some("\u{fffd}A")),
        (r#""\ud83d\ud83d\ude00""#, Some("\u{fffd}\u{1f600}")),
        (r#""\ude00\ud83d""#, Some("\u{fffd}\u{fffd}")),
        (r#""\"\\\/\b\f\n\r\t\u00e9""#, Some("\"\\/\u{8}\u{c}\n\r\té")),
        (r#""\u+123""#, None),
        (r#""\x""#, None),
        (r#""\u12""#, None),
        ("\"\n\"", None),
        ("null", Some("")),
        ("1", None),
    ] {
        assert_eq!(from_slice::<String>(text.as_bytes()).ok().as_deref(), expected, "{text}");
    }
    // A key is a text, too.
    let outer: Outer = from_slice(br#"{"n\u0061me":"x","\ud83d":1}"#).unwrap();
    assert_eq!(outer.name, "x");
    for (text, signed, unsigned) in [
        ("0", Some(0), Some(0)),
        ("-0", Some(0), None),
        ("-1", Some(-1), None),
        ("9223372036854775808", None, Some(9_223_372_036_854_775_808)),
        ("18446744073709551616", None, None),
        ("1.0", None, None),
        ("1e2", None, None),
        ("null", Some(0), Some(0)),
        ("true", None, None),
    ] {
        assert_eq!(from_slice::<i64>(text.as_bytes()).ok(), signed, "{text}");
        assert_eq!(from_slice::<u64>(text.as_bytes()).ok(), unsigned, "{text}");
    }
    assert!(from_slice::<f64>(b"1e400").is_err());
    assert!(from_slice::<i64>("9".repeat(100_000).as_bytes()).unwrap_err().to_string().len() < 200);
    // Between two values that a float can have, the nearer one: by us, and by serde_json, which
    // needs a feature for it.
    let text = "18446744077095516155";
    let near: f64 = text.parse().unwrap();
    assert_eq!(from_slice::<f64>(text.as_bytes()).unwrap().to_bits(), near.to_bits());
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(value.as_f64().unwrap().to_bits(), near.to_bits());
    // What nobody asks for may be out of any range.
    from_slice::<Outer>(br#"{"other":1e400}"#).unwrap();
}

#[test]
fn only_so_much_is_read() {
    let mut budget = Budget::new(1000, 10);
    assert_eq!(budget.read::<Vec<u8>>(b"[1,2,3,4]").unwrap(), [1, 2, 3, 4]);
    assert_eq!(budget.read::<Vec<u8>>(b"[1,2,3,4]").unwrap().len(), 4);
    let error = budget.read::<Vec<u8>>(b"[1,2,3]").unwrap_err().to_string();
    assert!(error.contains("more than 2 entries"), "{error}");
    assert!(Budget::new(8, 10).read::<Vec<u8>>(b"[1,2,3,4]").is_err());
    // A comma in a text is none, and bytes that are no UTF-8 count as what they become.
    assert!(Budget::new(100, 1).read::<Vec<String>>(b"[\"a,[{\\\",b\"]").is_ok());
    assert!(Budget::new(14, 9).read::<String>(b"\"\xff\xff\xff\xff\"").is_ok());
    assert!(Budget::new(13, 9).read::<String>(b"\"\xff\xff\xff\xff\"").is_err());
    for hostile in [b"{\"a\":0},".as_slice(), b"[],", b"0,", b"\"\",", b"{\"list\":[{}]},"] {
        let text = [b"[", hostile.repeat(1 << 19).as_slice(), b"0]"].concat();
        let read = Budget::new(text.len(), 1 << 18).read::<Outer>(&text);
        assert!(read.unwrap_err().to_string().contains("entries"));
    }
}

#[test]
fn nobody_looks_behind_the_first_value() {
    for (text, expected) in [
        (r#"{"name":"a"} {"name":"b"}"#, Some("a")),
        (r#"{"name":"a"}<!-- cached -->"#, Some("a")),
        ("null", Some("")),
        ("null x", Some("")),
        ("", None),
        (" ", None),
        ("<html>", None),
        (r#"{"name":"a""#, None),
    ] {
        let read = Budget::default().read_first::<Outer>(text.as_bytes());
        assert_eq!(read.ok().map(|outer| outer.name).as_deref(), expected, "{text}");
    }
    let long = format!("[1]{}", ",1".repeat(1000));
    assert_eq!(Budget::new(10_000, 2).read_first::<Vec<u8>>(long.as_bytes()).unwrap(), [1]);
}

#[test]
fn what_is_kept_raw_is_taken_apart_when_asked() {
    let text = " { \"a\\u0062\" : [ 1 , {\"x\":\"],}\"} , [] ] ,\"b\":null,\"b\":{ } }\n";
    let mut budget = Budget::new(1000, 3);
    let raw = Raw::parse(text.into(), &mut budget).unwrap();
    let members = raw.members(&budget).unwrap();
    let shown: Vec<_> = members.iter().map(|(key, value)| (&**key, value.as_str())).collect();
    let list = "[ 1 , {\"x\":\"],}\"} , [] ]";
    assert_eq!(shown, [("ab", list), ("b", "null"), ("b", "{ }")]);
    let items = members[0].1.items(&budget).unwrap().unwrap();
    assert_eq!(items.iter().map(Raw::as_str).collect::<Vec<_>>(), ["1", "{\"x\":\"],}\"}", "[]"]);
    assert_eq!(items[1].read::<BTreeMap<String, String>>().unwrap()["x"], "],}");
    assert!(members[1].1.is_null() && members[2].1.items(&budget).unwrap().is_none());
    let mut compact = Vec::new();
    write_compact(members[0].1.as_str(), &mut compact);
    assert_eq!(compact, b"[1,{\"x\":\"],}\"},[]]");
    for (many, text) in [(2, text), (0, "[1]")] {
        let raw = Raw::parse(text.into(), &mut Budget::default()).unwrap();
        let few = Budget::new(9, many);
        assert!(raw.members(&few).is_err() || raw.items(&few).is_err());
    }
    for text in ["", "{", "[1] x", "{\"a\":}", &"[".repeat(1000)] {
        assert!(Raw::parse(text.into(), &mut Budget::default()).is_err(), "{text}");
    }
    assert!(Raw::parse(b"[1]".to_vec(), &mut Budget::new(2, 9)).is_err());
}

proptest! {
    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = from_slice::<Outer>(&bytes);
        // What is taken apart without having been checked, too.
        let text = String::from_utf8_lossy(&bytes);
        let _ = text::unquote(&text);
        let mut inside = text::Inside::of(&text);
        while inside.member().is_some() {}
        if let Ok(raw) = Raw::parse(bytes, &mut Budget::default()) {
            let _ = (raw.members(&Budget::default()), raw.items(&Budget::default()));
        }
    }

    #[test]
    fn reads_what_serde_json_reads(value in arbitrary_json()) {
        let text = value.to_string();
        prop_assert_eq!(&from_slice::<serde_json::Value>(text.as_bytes()).unwrap(), &value);
        let raw = Raw::parse(text.into_bytes(), &mut Budget::default()).unwrap();
        prop_assert_eq!(raw.read::<serde_json::Value>().unwrap(), value);
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

fn arbitrary_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..8);
        let object = prop::collection::btree_map(any::<String>(), inner, 0..8);
        prop_oneof![
            list.prop_map(serde_json::Value::from),
            object.prop_map(|it| it.into_iter().collect::<serde_json::Value>()),
        ]
    })
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
