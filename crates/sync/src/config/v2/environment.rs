//! `${NAME}` and `${NAME:-otherwise}` in what is secret.

/// The text with what the environment says in it. `$${` is `${`; any other `$` is itself. The
/// error is a sentence, and says nothing of any value.
pub(super) fn filled(
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        let inner = &from[2..];
        if let Some(before) = before.strip_suffix('$') {
            filled.push_str(before);
            filled.push_str("${");
            rest = inner;
            continue;
        }
        filled.push_str(before);
        let Some((inner, after)) = inner.split_once('}') else {
            return Err("${ without its }".to_owned());
        };
        let (name, otherwise) = match inner.split_once(":-") {
            Some((name, otherwise)) => (name, Some(otherwise)),
            None => (inner, None),
        };
        if !is_name(name) {
            return Err(format!(
                "${{{name}}} is no variable: use ${{NAME}} or ${{NAME:-otherwise}}"
            ));
        }
        match (variable(name), otherwise) {
            (Some(value), otherwise) if !value.is_empty() || otherwise.is_none() => {
                filled.push_str(&value);
            }
            (_, Some(otherwise)) => filled.push_str(otherwise),
            (_, None) => return Err(format!("the environment has no {name}")),
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_put_in() {
        let variable = |name: &str| match name {
            "A" => Some("one".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${A}".to_owned()),
            _ => None,
        };
        for (text, expected) in [
            ("", Ok("")),
            ("pa$$word$", Ok("pa$$word$")),
            ("${A}", Ok("one")),
            ("<${A}${A}>", Ok("<oneone>")),
            ("${B:-two}", Ok("two")),
            ("${B:-}", Ok("")),
            ("${A:-two}", Ok("one")),
            ("${EMPTY}", Ok("")),
            ("${EMPTY:-two}", Ok("two")),
            ("$${A}", Ok("${A}")),
            ("${NESTED}", Ok("${A}")), // what comes from outside is not looked into
            ("$A", Ok("$A")),
            ("${B}", Err("the environment has no B")),
            ("${A", Err("${ without its }")),
            ("${}", Err("${} is no variable: use ${NAME} or ${NAME:-otherwise}")),
            ("${1A}", Err("${1A} is no variable: use ${NAME} or ${NAME:-otherwise}")),
            ("${A?}", Err("${A?} is no variable: use ${NAME} or ${NAME:-otherwise}")),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(filled(text, &variable), expected, "{text}");
        }
    }
}
