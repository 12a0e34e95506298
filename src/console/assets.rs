//! Style, script and icon: compiled in, each under a name that changes with its content.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

struct Asset {
    /// `console.0123456789ab.css`
    file: String,
    etag: String,
    kind: &'static str,
    bytes: &'static [u8],
}

static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("css", "text/css; charset=utf-8", include_bytes!("assets/console.css")));
static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("js", "text/javascript; charset=utf-8", include_bytes!("assets/console.js")));
static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("svg", "image/svg+xml", include_bytes!("assets/console.svg")));

impl Asset {
    fn new(extension: &str, kind: &'static str, bytes: &'static [u8]) -> Self {
        let hash = hex::encode(&Sha256::digest(bytes)[..6]);
        Self { file: format!("console.{hash}.{extension}"), etag: format!("\"{hash}\""), kind, bytes }
    }
}

/// Where the style sheet is.
pub(super) fn style() -> String {
    path(&STYLE)
}

/// Where the script is.
pub(super) fn script() -> String {
    path(&SCRIPT)
}

/// Where the icon is.
pub(super) fn icon() -> String {
    path(&ICON)
}

fn path(asset: &Asset) -> String {
    format!("/console/assets/{}", asset.file)
}

pub(super) async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = [&STYLE, &SCRIPT, &ICON].into_iter().find(|asset| asset.file == file) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut told = HeaderMap::new();
    // Never changes under this name.
    told.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    told.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    if let Ok(etag) = HeaderValue::from_str(&asset.etag) {
        told.insert(header::ETAG, etag);
    }
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    if known.is_some_and(|tags| tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == asset.etag)) {
        return (StatusCode::NOT_MODIFIED, told).into_response();
    }
    (told, asset.bytes).into_response()
}
