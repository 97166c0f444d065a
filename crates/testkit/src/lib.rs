//! For tests only: registries with faults, images of any shape, hermetic homes, runs of programs.
//!
//! What goes wrong here panics: a test that cannot be set up has failed.
//!
//! # Example
//!
//! ```
//! use skopeo_testkit::{Image, On, Registry};
//!
//! let registry = Registry::start();
//! Image::new(1).push(&registry, "team/app:1");
//! assert!(registry.root().join("team/app/index.json").is_file());
//! assert_eq!(registry.count(&On::manifests()), 0);
//! ```

pub mod certificate;
pub mod cloud;
pub mod dockerd;
pub mod gpg;
pub mod home;
pub mod image;
pub mod memory;
pub mod merkle;
pub mod proxy;
pub mod registry;
pub mod rest;
pub mod run;
pub mod s3;
pub mod slow_network;
pub mod slurm;
pub mod tar;
pub mod terminal;
pub mod tile_log;
pub mod twin;

pub use certificate::Certificate;
pub use cloud::Cloud;
pub use dockerd::Dockerd;
pub use gpg::Gpg;
pub use home::Home;
pub use image::{Format, Image};
pub use registry::{Fault, On, Registry, SeenRequest, TokenAuth};
pub use run::{Run, run};
pub use s3::{S3, S3Fault};
pub use slow_network::SlowNetwork;
pub use slurm::Slurm;
pub use tar::Tar;
pub use tile_log::{LogFault, LogKey, TileLog};
pub use twin::Twin;
