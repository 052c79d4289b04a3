//! The style sheet and the script of the pages, embedded in the program.

use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

/// A file that pages refer to.
#[derive(Debug)]
pub(super) struct Asset {
    /// Its name under `/ui/assets/`.
    pub name: &'static str,
    /// Its content type.
    pub media: &'static str,
    /// Its bytes.
    pub body: &'static [u8],
    /// Its entity tag, in quotes.
    pub etag: String,
}

static ASSETS: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    [
        asset(
            "style.css",
            "text/css; charset=utf-8",
            include_bytes!("style.css"),
        ),
        asset(
            "live.js",
            "text/javascript; charset=utf-8",
            include_bytes!("live.js"),
        ),
        asset("icon.svg", "image/svg+xml", include_bytes!("icon.svg")),
    ]
});

fn asset(name: &'static str, media: &'static str, body: &'static [u8]) -> Asset {
    let digest = Sha256::digest(body);
    let etag: String = digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Asset {
        name,
        media,
        body,
        etag: format!("\"{etag}\""),
    }
}

/// Returns the file of this name.
pub(super) fn named(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

/// Returns the path of a file, which changes with its content, so that a browser never uses an older one.
pub(super) fn path(name: &str) -> String {
    let version = named(name).map_or("", |asset| asset.etag.trim_matches('"'));
    format!("/ui/assets/{name}?v={version}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_tag_of_its_content() {
        let style = named("style.css").unwrap();
        let script = named("live.js").unwrap();
        assert_ne!(style.etag, script.etag);
        assert!(path("live.js").ends_with(script.etag.trim_matches('"')));
        assert!(named("../Cargo.toml").is_none());
    }

    #[test]
    fn the_script_is_short_and_nothing_comes_from_elsewhere() {
        let script = std::str::from_utf8(named("live.js").unwrap().body).unwrap();
        assert!(script.lines().count() <= 300);
        for asset in ASSETS.iter() {
            let text = std::str::from_utf8(asset.body).unwrap();
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("://"), "{}", asset.name);
            assert!(!text.contains("@import"), "{}", asset.name);
        }
    }
}
