//! What readers see: pages of the book in a browser without a window.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use fs_err as fs;

use crate::shell;

/// The front page, a page with commands, and one with tables.
const PAGES: [&str; 3] = ["index.html", "jobs/copy.html", "troubleshooting.html"];

/// How Debian, others and Google call it.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

const SIZE: (u32, u32) = (1200, 900);

/// Takes pictures of three pages, into `pictures`, and looks whether something is on them. Gives their
/// paths; nothing if there is no browser.
pub(super) fn look(book: &Path, pictures: &Path) -> Result<Option<Vec<PathBuf>>> {
    let Some(browser) = BROWSERS.into_iter().find_map(shell::find) else { return Ok(None) };
    fs::create_dir_all(pictures)?;
    let mut taken = Vec::new();
    for page in PAGES {
        let picture = pictures.join(page.replace('/', "-")).with_extension("png");
        take(&browser, &book.join(page), &picture)?;
        shows_text(&picture).with_context(|| format!("the picture {}", picture.display()))?;
        taken.push(picture);
    }
    Ok(Some(taken))
}

fn take(browser: &Path, page: &Path, picture: &Path) -> Result<()> {
    let home = tempfile::Builder::new().prefix("skopeo-browser-").tempdir()?;
    let mut command = Command::new(browser);
    // The pages are our own, and root has no sandbox.
    command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]);
    command.arg("--disable-dev-shm-usage").arg(format!("--window-size={},{}", SIZE.0, SIZE.1));
    command.arg(format!("--user-data-dir={}", home.path().display()));
    command.arg(format!("--screenshot={}", picture.display()));
    command.arg(format!("file://{}", fs::canonicalize(page)?.display()));
    shell::run(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

/// A picture of a page with text has one colour in most places, and others in many.
fn shows_text(picture: &Path) -> Result<()> {
    let file = std::io::BufReader::new(fs::File::open(picture)?);
    let mut reader = png::Decoder::new(file).read_info()?;
    let mut pixels = vec![0; reader.output_buffer_size().context("too large")?];
    let info = reader.next_frame(&mut pixels)?;
    let each = info.line_size / usize::try_from(info.width)?;
    ensure!(info.width == SIZE.0, "it is {} wide", info.width);
    let mut colours: HashMap<&[u8], usize> = HashMap::new();
    let all = pixels[..info.buffer_size()].chunks_exact(each);
    let count = all.len();
    all.for_each(|pixel| *colours.entry(pixel).or_default() += 1);
    let most = colours.into_values().max().unwrap_or_default();
    let rest = 100 * (count - most) / count;
    ensure!((1..70).contains(&rest), "{rest} % of it has another colour than its ground");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(path: &Path, colour_at: impl Fn(u32) -> u8) -> PathBuf {
        let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), SIZE.0, SIZE.1);
        encoder.set_color(png::ColorType::Grayscale);
        let pixels: Vec<u8> = (0..SIZE.0 * SIZE.1).map(colour_at).collect();
        encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        path.to_owned()
    }

    #[test]
    fn a_page_without_text_is_found() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("page.png");
        assert!(shows_text(&picture(&path, |at| if at % 10 == 0 { 0 } else { 255 })).is_ok());
        assert!(shows_text(&picture(&path, |_| 255)).is_err());
        assert!(shows_text(&picture(&path, |at| u8::try_from(at % 251).unwrap())).is_err());
    }
}
