//! Key providers of encrypted images: the file that `$OCICRYPT_KEYPROVIDER_CONFIG` names
//! (ocicrypt's key provider protocol).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Environment, Error, env, paths};

/// How a key provider is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct KeyProvider {
    /// By running a program.
    pub cmd: Option<KeyProviderCommand>,
    /// By gRPC, at this address.
    pub grpc: Option<String>,
}

/// A program with its arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct KeyProviderCommand {
    /// The program.
    pub path: String,
    /// Its arguments.
    pub args: Vec<String>,
}

#[derive(Deserialize)]
#[serde(default, rename_all = "kebab-case")]
#[derive(Default)]
struct File {
    key_providers: BTreeMap<String, KeyProvider>,
}

/// All providers by name; none if no file is named, or the named one is missing.
pub(crate) fn load(environment: &Environment) -> Result<BTreeMap<String, KeyProvider>, Error> {
    let Some(path) = environment.path(env::OCICRYPT_KEYPROVIDER_CONFIG) else {
        return Ok(BTreeMap::new());
    };
    let doing = "Error while parsing keyprovider config file";
    let bytes = paths::read_if_there(&path).map_err(|error| error.during(doing))?;
    let Some(bytes) = bytes else { return Ok(BTreeMap::new()) };
    let file: File = skopeo_image::go_json::from_slice(&bytes)
        .map_err(|source| Error::Json { path, source: source.into() }.during(doing))?;
    Ok(file.key_providers)
}

#[cfg(test)]
mod tests {
    use crate::testing::Machine;

    #[test]
    fn reads_the_file_that_is_named() {
        let machine = Machine::new().file(
            "p.json",
            r#"{"key-providers":{
                "a":{"cmd":{"path":"/bin/a","args":["x","y"]}},
                "b":{"grpc":"localhost:1","grpc-tls":{"server-name":"b"}},
                "c":{}}}"#,
        );
        assert!(machine.config().key_providers().unwrap().is_empty());
        let named = |file: &str| {
            let path = machine.environment().system(file);
            let machine = Machine::new().var("OCICRYPT_KEYPROVIDER_CONFIG", path.to_str().unwrap());
            machine.config().key_providers()
        };
        let providers = named("p.json").unwrap();
        assert_eq!(providers.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
        let cmd = providers["a"].cmd.as_ref().unwrap();
        assert_eq!((cmd.path.as_str(), cmd.args.join(" ").as_str()), ("/bin/a", "x y"));
        assert_eq!(providers["b"].grpc.as_deref(), Some("localhost:1"));
        assert!(named("missing").unwrap().is_empty());
        machine.write("p.json", "{");
        let error = named("p.json").unwrap_err();
        assert_eq!(error.to_string(), "Error while parsing keyprovider config file");
    }
}
