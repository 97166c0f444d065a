//! The recipe in a SIF file: what it says on how a container is to run becomes a script.

use super::SifError;

/// Where the script lies in the image; the original's place.
pub(crate) const SCRIPT: &str = "podman/runscript";

/// The longest line that is read, in bytes; the original's limit.
const LONGEST_LINE: usize = 64 * 1024;

/// The script made of the sections `%environment` and `%runscript`; none if both say nothing.
pub(crate) fn script(definition: &[u8]) -> Result<Option<Vec<u8>>, SifError> {
    enum Section {
        Environment,
        RunScript,
        Other,
    }
    let (mut environment, mut run) = (Vec::new(), Vec::new());
    let mut section = Section::Other;
    for line in definition.split_inclusive(|byte| *byte == b'\n') {
        if line.len() > LONGEST_LINE {
            return Err(SifError::LongLine);
        }
        let line = trimmed(line);
        match (line, &section) {
            (b"%environment", _) => section = Section::Environment,
            (b"%runscript", _) => section = Section::RunScript,
            ([b'%', ..], _) => section = Section::Other,
            (b"" | [b'#', ..], Section::Environment) | (_, Section::Other) => {}
            (_, Section::Environment) => environment.push(line),
            (_, Section::RunScript) => run.push(line),
        }
    }
    if environment.is_empty() && run.is_empty() {
        return Ok(None);
    }
    let lines = [environment.join(&b"\n"[..]), run.join(&b"\n"[..])];
    Ok(Some([&b"#!/bin/bash\n"[..], &lines[0], b"\n", &lines[1], b"\n"].concat()))
}

/// Without white space at either end, of Unicode where it is such.
fn trimmed(line: &[u8]) -> &[u8] {
    std::str::from_utf8(line).map_or_else(|_| line.trim_ascii(), |text| text.trim().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_two_sections() {
        for (definition, expected) in [
            ("", None),
            ("Bootstrap: docker\nFrom: alpine\n%post\n  apk add bash\n", None),
            ("%environment\n\n  # nothing\n", None),
            (
                "%environment\n  export A=1\n\n# no\n\tB=2\r\n%labels\n x y\n",
                Some("#!/bin/bash\nexport A=1\nB=2\n\n"),
            ),
            ("%runscript\n  echo a\n\n# kept", Some("#!/bin/bash\n\necho a\n\n# kept\n")),
            (
                "%runscript\none\n%environment\nA=1\n%runscript\ntwo\n%files\nx",
                Some("#!/bin/bash\nA=1\none\ntwo\n"),
            ),
            ("%runscript section\n x\n", None),
            ("%runscript\n", None),
        ] {
            let script = script(definition.as_bytes()).unwrap();
            assert_eq!(script.map(|s| String::from_utf8(s).unwrap()).as_deref(), expected);
        }
        assert!(script(&[b'x'; LONGEST_LINE + 1]).is_err());
    }
}
