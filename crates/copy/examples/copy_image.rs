//! Copies one image, and says what happens.
//!
//! `cargo run -p skopeo-copy --example copy_image -- docker://busybox oci:busybox:latest`
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;
use std::sync::Arc;

use skopeo_copy::{Copied, Request, Session, copy};
use skopeo_image::Platform;
use skopeo_transport::{Connections, ImageName, Options};
use skopeo_trust::Policy;

/// Copies the image for this machine from one place to another.
pub(crate) async fn copy_image(
    options: &Options,
    from: &str,
    to: &str,
) -> Result<Copied, Box<dyn Error>> {
    let (from, to) = (ImageName::parse(from)?, ImageName::parse(to)?);
    let source = skopeo_transport::open(&from, options).await?;
    let destination = skopeo_transport::create(&to, options).await?;
    let session = Session::new(Arc::new(|event| {
        if let Some(line) = event.line() {
            println!("{line}");
        }
    }));
    // A program that copies for others reads policy.json: `Policy::parse`.
    let policy = Policy::insecure();
    let request = Request::new(Platform::host());
    Ok(copy(&session, &*source, destination, &policy, &request).await?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = &words[..] else {
        return Err("usage: copy_image TRANSPORT:SOURCE TRANSPORT:DESTINATION".into());
    };
    let config = skopeo_config::Config::new(skopeo_config::Overrides::default());
    let options = Options::new(Arc::new(config), Connections::new());
    let copied = copy_image(&options, from, to).await?;
    println!("{}", copied.digest);
    Ok(())
}
