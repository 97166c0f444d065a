//! Docker's image config of 2015, as far as it has to be written anew.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::Timestamp;
use crate::config::{Nothing, none_or_empty, none_or_empty_map};

/// Whether this version of Docker left out fields that have to be there.
pub(super) fn needs_reencoding(docker_version: &str) -> bool {
    if docker_version.is_empty() {
        return false;
    }
    let mut parts = docker_version.split('.').map(|part| part.parse::<i64>().unwrap_or(0));
    let found = [(); 3].map(|()| parts.next().unwrap_or(0));
    found < [1, 8, 3]
}

/// The config, in the order of Go's struct; the fields' meanings are those of Docker's API.
#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
pub(super) struct DockerImage {
    #[serde(skip_serializing_if = "String::is_empty")]
    id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    parent: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    comment: String,
    created: Timestamp,
    #[serde(skip_serializing_if = "String::is_empty")]
    container: String,
    container_config: DockerConfig,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) docker_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    author: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<DockerConfig>,
    #[serde(skip_serializing_if = "String::is_empty")]
    architecture: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    variant: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    os: String,
    #[serde(rename = "Size", skip_serializing_if = "is_zero")]
    size: i64,
}

/// How a container runs. `None` is written as `null`, as Go writes what was never set.
#[derive(Serialize, Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct DockerConfig {
    hostname: String,
    domainname: String,
    user: String,
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    #[serde(skip_serializing_if = "none_or_empty_map")]
    exposed_ports: Option<BTreeMap<String, Nothing>>,
    tty: bool,
    open_stdin: bool,
    stdin_once: bool,
    env: Option<Vec<String>>,
    #[serde(deserialize_with = "one_or_many")]
    cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<Healthcheck>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    args_escaped: bool,
    image: String,
    volumes: Option<BTreeMap<String, Nothing>>,
    working_dir: String,
    #[serde(deserialize_with = "one_or_many")]
    entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    network_disabled: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    mac_address: String,
    on_build: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    stop_signal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_timeout: Option<i64>,
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "none_or_empty")]
    shell: Option<Vec<String>>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Healthcheck {
    #[serde(skip_serializing_if = "none_or_empty")]
    test: Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_zero")]
    start_period: i64,
    #[serde(skip_serializing_if = "is_zero")]
    start_interval: i64,
    #[serde(skip_serializing_if = "is_zero")]
    interval: i64,
    #[serde(skip_serializing_if = "is_zero")]
    timeout: i64,
    #[serde(skip_serializing_if = "is_zero")]
    retries: i64,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Old Dockers wrote a command as one text.
fn one_or_many<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Command {
        Many(Vec<String>),
        One(String),
    }
    Ok(Option::<Command>::deserialize(deserializer)?.map(|command| match command {
        Command::Many(words) => words,
        Command::One(word) => vec![word],
    }))
}
