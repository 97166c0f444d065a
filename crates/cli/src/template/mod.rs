//! `--format`: Go templates, as the original's users write them.
//!
//! gotmpl parses; the walk is ours, because Go's templates see structs, times and typed nils, and
//! their errors name Go's types.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod eval;
mod funcs;
mod needs;
mod printf;
mod shown;
mod table;
mod time;
pub(crate) mod value;

use gotmpl::TemplateError;
use gotmpl::parse::Parser;

use eval::Program;
use value::Value;

/// The template's name in errors of `inspect`.
const NAME: &str = "skopeo inspect";

/// Whether the format asks for plain JSON, in lines. `{{json .}}` is a template: its JSON is in one
/// line.
pub(crate) fn is_json(format: &str) -> bool {
    let format = format.trim();
    let inner = format.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    format == "json" || inner.is_some_and(|inner| matches!(inner.trim(), "json" | "json."))
}

/// A template that was parsed, for one value.
pub(crate) struct Format {
    name: &'static str,
    source: String,
    table: bool,
}

impl Format {
    /// Parses a format. The error is Go's sentence.
    pub(crate) fn parse(format: &str) -> Result<Self, String> {
        let (table, normal, plain) = match format.strip_prefix("table ") {
            Some(rest) => (true, wrap(&normalize(&rest.replace(' ', "\t"))), wrap(rest)),
            None => {
                let enforce =
                    |text: String| if ranges_over_all(&text) { text } else { wrap(&text) };
                (false, enforce(normalize(format)), enforce(format.to_owned()))
            }
        };
        // `\n` typed as two letters means a newline, unless that breaks the template.
        let source = match parse(NAME, &normal) {
            Ok(_) => normal,
            Err(_) => {
                parse(NAME, &plain)?;
                plain
            }
        };
        Ok(Self { name: NAME, source, table })
    }

    /// Parses a template for one value that is meant as it is written, and not for people to read.
    /// The error is Go's sentence.
    pub(crate) fn plain(name: &'static str, template: &str) -> Result<Self, String> {
        parse(name, template)?;
        Ok(Self { name, source: template.to_owned(), table: false })
    }

    /// Fills a [plain](Self::plain) template in. The error is Go's sentence.
    pub(crate) fn fill(&self, data: &Value) -> Result<String, String> {
        parse(self.name, &self.source)?.run(data)
    }

    /// Whether printing may look at a field of the value.
    pub(crate) fn looks_at(&self, field: &str) -> bool {
        parse(self.name, &self.source).map_or(true, |program| needs::looks_at(&program.body, field))
    }

    /// Prints what the template makes of each of several values, or of all of them if it has a
    /// `{{range .}}` of its own. The error is Go's sentence.
    pub(crate) fn print_all(
        &self,
        data: impl IntoIterator<Item = Value>,
    ) -> Result<String, String> {
        let text = parse(self.name, &self.source)?.run(&Value::list(data, "[]interface {}"))?;
        Ok(if self.table { table::align(&text) } else { text })
    }
}

/// What is a template for one thing runs for each of a list of one.
fn wrap(format: &str) -> String {
    format!("{{{{range .}}}}{format}{{{{end -}}}}")
}

/// `\t` and `\n`, typed as two letters, are what they mean; the last line ends.
fn normalize(format: &str) -> String {
    let mut text = format.replace("\\t", "\t").replace("\\n", "\n");
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Whether the template has a `{{range .}}` of its own.
fn ranges_over_all(format: &str) -> bool {
    let mut rest = format;
    while let Some((_, after)) = rest.split_once("{{") {
        rest = after;
        let Some(end) = rest.find("}}") else { return false };
        let words: Vec<&str> = rest[..end].split_whitespace().collect();
        if matches!(words.as_slice(), ["range", "."] | ["range."]) {
            return rest[end..].contains("end");
        }
    }
    false
}

/// Fails if there is an `{{end}}` too many or too few: the parser does not mind. The error is Go's
/// sentence.
fn check_ends(name: &str, source: &str) -> Result<(), String> {
    let mut depth = 0_usize;
    let mut rest = source;
    let line = |rest: &str| {
        source[..source.len().saturating_sub(rest.len())].matches('\n').count().saturating_add(1)
    };
    while let Some((_, action)) = rest.split_once("{{") {
        rest = action;
        let length = action_length(action);
        let word = action[..length].trim_start_matches('-').trim_start();
        let word = word.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        match word {
            "if" | "range" | "with" | "block" | "define" => depth = depth.saturating_add(1),
            "end" if depth == 0 => {
                return Err(format!("template: {name}:{}: unexpected {{{{end}}}}", line(rest)));
            }
            "end" => depth = depth.saturating_sub(1),
            _ => {}
        }
        rest = &action[length..];
    }
    if depth == 0 {
        Ok(())
    } else {
        Err(format!("template: {name}:{}: unexpected EOF", line(rest)))
    }
}

/// Fails if a line ends within quotes: the parser does not mind. The error is Go's sentence.
fn check_quotes(name: &str, source: &str) -> Result<(), String> {
    let mut rest = source;
    while let Some((_, action)) = rest.split_once("{{") {
        let length = action_length(action);
        let mut quote = None;
        let mut escaped = false;
        let is_comment = action.trim_start_matches(['-', ' ']).starts_with("/*");
        for (at, c) in action[..length].char_indices().filter(|_| !is_comment) {
            match quote {
                Some(open @ ('"' | '\'')) if c == '\n' => {
                    let until = source.len().saturating_sub(action.len()).saturating_add(at);
                    let line = source[..until].matches('\n').count().saturating_add(1);
                    let kind = if open == '"' { "quoted string" } else { "character constant" };
                    return Err(format!("template: {name}:{line}: unterminated {kind}"));
                }
                _ if escaped => escaped = false,
                Some('"' | '\'') if c == '\\' => escaped = true,
                Some(open) if c == open => quote = None,
                Some(_) => {}
                None if matches!(c, '"' | '`' | '\'') => quote = Some(c),
                None => {}
            }
        }
        rest = &action[length..];
    }
    Ok(())
}

/// How long an action is up to its `}}`, which may stand in strings and comments before.
fn action_length(action: &str) -> usize {
    if action.trim_start_matches(['-', ' ']).starts_with("/*") {
        return action.find("*/").map_or(action.len(), |end| end.saturating_add(2));
    }
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in action.char_indices() {
        match quote {
            _ if escaped => escaped = false,
            Some('"' | '\'') if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '`' | '\'') => quote = Some(c),
            None if action[at..].starts_with("}}") => return at,
            None => {}
        }
    }
    action.len()
}

fn parse<'a>(name: &'static str, source: &'a str) -> Result<Program<'a>, String> {
    check_quotes(name, source)?;
    let parsed = Parser::with_name(Some(name), source, "{{", "}}").and_then(Parser::parse);
    let (body, defines) = parsed.map_err(|error| sentence(name, &error))?;
    let defined =
        defines.into_iter().map(|define| (define.name.to_string(), define.body)).collect();
    check_ends(name, source)?;
    let program = Program { name, source, body, defined };
    program.check_functions()?;
    Ok(program)
}

/// Go names the line only where it parses.
fn sentence(name: &str, error: &TemplateError) -> String {
    match error {
        TemplateError::Parse { line, message, .. } | TemplateError::Lex { line, message, .. } => {
            format!("template: {name}:{line}: {message}")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(format: &str, data: Value) -> Result<String, String> {
        Format::parse(format)?.print_all([data])
    }

    #[test]
    fn knows_which_fields_are_looked_at() {
        for (format, looked_at) in [
            ("{{.Name}}", false),
            ("{{.Name}}{{range .Layers}}{{.}}{{end}}", false),
            ("{{range .}}{{.Name}}{{end}}", false),
            ("{{with .Labels}}{{.a}}{{end}}", false),
            ("{{if .Env}}{{index .Labels \"a\"}}{{end}}", false),
            ("{{.RepoTags}}", true),
            ("{{len .RepoTags}}", true),
            ("{{range .RepoTags}}x{{end}}", true),
            ("{{.}}", true),
            ("{{json .}}!", true),
            ("{{$x := .}}{{$x.Name}}", true),
            ("{{printf \"%v\" (len (.RepoTags))}}", true),
            ("{{range .}}{{.}}{{end}}", true),
            ("{{define \"t\"}}{{.Name}}{{end}}{{template \"t\" .}}", true),
        ] {
            assert_eq!(Format::parse(format).unwrap().looks_at("RepoTags"), looked_at, "{format}");
        }
    }

    fn data() -> Value {
        let labels = [("a.b".to_owned(), "1".to_owned()), ("v".to_owned(), "x<y".to_owned())];
        let layers = ["sha256:aa".to_owned(), "sha256:bb".to_owned()];
        let created = "2024-03-07T04:05:06.0123Z".parse().unwrap();
        Value::structure(
            "interface {}",
            &serde_json::json!({"Name": "n<"}),
            vec![
                ("Name", Value::text("docker.io/library/alpine")),
                ("Digest", Value::digest("sha256:cc")),
                ("Created", Value::Time(Some(created))),
                ("Never", Value::Time(None)),
                ("Labels", Value::labels(Some(&labels.into_iter().collect()))),
                ("Layers", Value::texts(Some(&layers))),
                ("Env", Value::texts(None)),
            ],
        )
    }

    #[test]
    fn prints_as_go_does() {
        for (format, printed) in [
            ("{{.Name}}", "docker.io/library/alpine\n"),
            (
                "Name: {{.Name}} Digest: {{.Digest}}",
                "Name: docker.io/library/alpine Digest: sha256:cc\n",
            ),
            ("{{.Layers}} {{.Env}} {{.Labels}}", "[sha256:aa sha256:bb] [] map[a.b:1 v:x<y]\n"),
            ("{{range .Layers}}{{.}}\\n{{end}}", "sha256:aa\nsha256:bb\n\n"),
            // A newline in quotes is no template: then nothing is changed, and no line ended.
            ("{{range .Layers}}{{.}}{{\"\\n\"}}{{end}}", "sha256:aa\nsha256:bb\n"),
            ("a{{printf \"%s\\n\" .Digest}}", "asha256:cc\n"),
            ("a{{`b\\n`}}", "ab\n\n"),
            ("{{json .Env}} {{json .Layers}}", "null [\"sha256:aa\",\"sha256:bb\"]\n"),
            ("{{range 500000000000}}{{break}}{{end}}x", "x\n"),
            ("{{range $i, $l := .Layers}}{{$i}}={{$l}} {{end}}", "0=sha256:aa 1=sha256:bb \n"),
            ("{{range .}}{{.Name}}{{end}}", "docker.io/library/alpine\n"),
            (
                "{{index .Labels \"a.b\"}}|{{index .Labels \"no\"}}|{{.Labels.no}}",
                "1||<no value>\n",
            ),
            ("{{index .Layers 1}} {{len .Layers}}", "sha256:bb 2\n"),
            ("{{if eq .Name \"x\"}}a{{else if .Env}}b{{else}}c{{end}}", "c\n"),
            ("{{with .Labels}}{{.v}}{{end}}", "x<y\n"),
            (
                "{{printf \"%-5s|%q|%d|%v\" \"ab\" .Digest (len .Name) .Layers}}",
                "ab   |\"sha256:cc\"|24|[sha256:aa sha256:bb]\n",
            ),
            (
                "{{printf \"%q %q %s %x|%%|%T %T %5T\" .Layers .Env .Labels .Env .Created .Env 1}}",
                "[\"sha256:aa\" \"sha256:bb\"] [] map[a.b:1 v:x<y] []|%|*time.Time []string   int\n",
            ),
            ("{{printf \"%q\" .Labels}}", "map[\"a.b\":\"1\" \"v\":\"x<y\"]\n"),
            // What follows a trim mark goes, the last line's end too.
            ("{{range .Layers}}x{{- end -}}", "xx"),
            ("{{- .Digest -}}  ", "sha256:cc"),
            ("{{json .Labels}} {{json .}}!", "{\"a.b\":\"1\",\"v\":\"x<y\"} {\"Name\":\"n<\"}!\n"),
            ("{{join .Layers \",\"}} {{split \"a,b\" \",\" | len}}", "sha256:aa,sha256:bb 2\n"),
            (
                "{{upper \"a\"}}{{lower \"B\"}} {{title \"ab cd\"}} {{truncate \"abcd\" 2}}",
                "Ab Ab Cd ab\n",
            ),
            ("{{.Created}} {{.Never}}", "2024-03-07 04:05:06.0123 +0000 UTC <nil>\n"),
            (
                "{{.Created.Format \"2006-01-02\"}} {{.Created.Unix}} {{.Created.Month}}",
                "2024-03-07 1709784306 March\n",
            ),
            ("{{.Digest.Encoded}} {{.Digest.Algorithm}}", "cc sha256\n"),
            (
                "{{$n := .Name}}{{$n | len}} {{not .Env}} {{and 1 0}} {{or 0 \"x\"}}",
                "24 true 0 x\n",
            ),
            ("{{/* nothing */}}{{- \"a\" -}}  b", "ab\n"),
            ("{{range .Env}}x{{else}}none{{end}}", "none\n"),
            (
                "{{range .Layers}}{{if eq . \"sha256:bb\"}}{{break}}{{end}}{{.}}{{end}}",
                "sha256:aa\n",
            ),
            ("{{define \"t\"}}<{{.}}>{{end}}{{template \"t\" .Digest}}", "<sha256:cc>\n"),
            ("table {{.Digest}} {{.Name}}", "sha256:cc   docker.io/library/alpine\n"),
            ("a\\tb", "a\tb\n"),
        ] {
            assert_eq!(print(format, data()).as_deref(), Ok(printed), "{format}");
        }
    }

    #[test]
    fn plain_templates_are_filled_in_as_they_are() {
        let fill = |text| Format::plain("name", text)?.fill(&data());
        assert_eq!(fill("{{.Name}}:{{len .Layers}}"), Ok("docker.io/library/alpine:2".to_owned()));
        let sentence = "template: name:1:2: executing \"name\" at <.X>: can't evaluate field X in type interface {}";
        assert_eq!(fill("{{.X}}"), Err(sentence.to_owned()));
        assert_eq!(fill("{{"), Err("template: name:1: unclosed action".to_owned()));
    }

    #[test]
    fn fails_in_gos_words() {
        for (format, sentence) in [
            (
                "{{.Nope}}",
                "template: skopeo inspect:1:13: executing \"skopeo inspect\" at <.Nope>: can't evaluate field Nope in type interface {}",
            ),
            (
                "{{.Name.X}}",
                "template: skopeo inspect:1:18: executing \"skopeo inspect\" at <.Name.X>: can't evaluate field X in type string",
            ),
            ("{{nope .}}", "template: skopeo inspect:1: function \"nope\" not defined"),
        ] {
            assert_eq!(print(format, data()), Err(sentence.to_owned()), "{format}");
        }
        for (broken, sentence) in [
            ("{{end}}", "template: skopeo inspect:1: unexpected {{end}}"),
            ("a{{if .Name}}b", "template: skopeo inspect:1: unexpected EOF"),
        ] {
            assert_eq!(print(broken, data()), Err(sentence.to_owned()), "{broken}");
        }
        assert!(print("{{/* {{end}} */}}{{\"{{end}}\"}}{{`}}{{if`}}", data()).is_ok());
        let wide = "{{pad \"x\" 9223372036854775807 0}}";
        for broken in ["{{.Name", "{{if}}x{{end}}", "{{index .Layers 9}}", "{{len 3}}", wide] {
            assert!(print(broken, data()).is_err(), "{broken}");
        }
    }

    #[test]
    fn knows_what_asks_for_json() {
        for format in ["json", " json ", "{{json}}", "{{ json }}", " {{json. }}"] {
            assert!(is_json(format), "{format}");
        }
        for format in ["{{json .}}", "{{json .Name}}", "{{.}}", "jsonx", "{{json . }}"] {
            assert!(!is_json(format), "{format}");
        }
    }
}
