//! `ostree-ext-cli`, of which no release is on crates.io: what bootc and rpm-ostree import with.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    ostree_ext::cli::run_from_iter(std::env::args_os()).await
}
