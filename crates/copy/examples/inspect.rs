//! Says what an image is, without copying it.
//!
//! `cargo run -p skopeo-copy --example inspect -- docker://busybox`
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;
use std::sync::Arc;

use skopeo_image::{Manifest, Which};
use skopeo_transport::{Connections, ImageName, Options};

/// Returns a line for the manifest of an image, and one for each of its layers or instances.
pub(crate) async fn inspect(options: &Options, name: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let source = skopeo_transport::open(&ImageName::parse(name)?, options).await?;
    let manifest = source.manifest(&Which::Top).await?;
    let mut lines = vec![format!("{} {}", manifest.digest()?, manifest.media_type)];
    match manifest.parse()? {
        Manifest::Image(image) => {
            lines.extend(image.layers().iter().map(|layer| format!("layer {}", layer.blob.digest)));
        }
        Manifest::Index(list) => {
            lines.extend(list.instances().iter().map(|it| match &it.platform {
                Some(platform) => {
                    format!("{} {}/{}", it.descriptor.digest, platform.os, platform.architecture)
                }
                None => it.descriptor.digest.to_string(),
            }));
        }
    }
    Ok(lines)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [name] = &words[..] else { return Err("usage: inspect TRANSPORT:IMAGE".into()) };
    let config = skopeo_config::Config::new(skopeo_config::Overrides::default());
    let options = Options::new(Arc::new(config), Connections::new());
    for line in inspect(&options, name).await? {
        println!("{line}");
    }
    Ok(())
}
