//! Style, script and icon, in the binary. Their addresses carry a digest of what they hold, so a browser may keep them for
//! ever and never has an old one.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use ring::digest;

use super::failure::Fault;

/// A file that pages name.
pub struct Asset {
    address: String,
    kind: &'static str,
    bytes: &'static [u8],
}

impl Asset {
    fn new(name: &str, ending: &str, kind: &'static str, bytes: &'static [u8]) -> Self {
        let digest = digest::digest(&digest::SHA256, bytes);
        let mark: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { address: format!("/activos/{name}-{mark}.{ending}"), kind, bytes }
    }

    pub fn address(&self) -> &str {
        &self.address
    }
}

pub static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("estilo", "css", "text/css; charset=utf-8", include_bytes!("assets/estilo.css")));
pub static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("consola", "js", "text/javascript; charset=utf-8", include_bytes!("assets/consola.js"))
});
pub static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icono", "svg", "image/svg+xml", include_bytes!("assets/icono.svg")));

pub async fn serve(Path(name): Path<String>) -> Result<Response, Fault> {
    let all = [&*STYLE, &*SCRIPT, &*ICON];
    let found = all.into_iter().find(|asset| asset.address.strip_prefix("/activos/") == Some(name.as_str()));
    let asset = found.ok_or_else(|| Fault::missing("el archivo"))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    Ok((headers, asset.bytes).into_response())
}
