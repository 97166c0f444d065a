//! A program that the tests of killed copies and of several processes start. It writes images of the
//! tests: `writer kill ROOT NAME` under one name until it is killed, `writer several ROOT WRITER`
//! some into the layout ROOT/image.

#![expect(clippy::unwrap_used, reason = "this is a part of tests")]

mod options;
#[expect(dead_code, reason = "the tests use more of it")]
mod sample;

use std::path::Path;

use skopeo_transport::{ImageName, create};

use options::options;
use sample::Sample;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [task, root, name] = &arguments[..] else { panic!("three arguments expected") };
    let options = options(Path::new(root));
    let write = async |name: &str, seed| {
        let name = ImageName::parse(name).unwrap();
        Sample::new(seed).put(create(&name, &options).await.unwrap()).await.unwrap();
    };
    match task.as_str() {
        "kill" => {
            for seed in (0..3).cycle() {
                write(name, seed).await;
            }
        }
        "several" => {
            for seed in 0..5 {
                write(&format!("oci:{root}/image:{name}-{seed}"), seed).await;
            }
        }
        other => panic!("{other} is no task"),
    }
}
